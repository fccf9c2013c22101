//! The models on slow pipes.

pub(crate) mod native;
pub(crate) mod posix;
pub(crate) mod ready;
pub(crate) mod threads;

use anyhow::{Context, Result};

use crate::{
    pipes::{PIPES, Pipes},
    run::{Outcome, Run},
};

/// Reads the pipes in turn. Messages wait in the others while the thread sleeps in one pipe's call.
pub(crate) fn blocking(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    pipes.timed(run, |run| {
        for number in 0..pipes.total() {
            let sent = pipes.read(number % PIPES, &run.calls)?;
            run.got(sent.context("the pipes aren't non-blocking")?);
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

/// Tries each pipe in turn, until all messages are there.
pub(crate) fn retries(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    pipes.timed(run, |run| {
        let mut left = pipes.total();
        while left > 0 {
            let before = left;
            for pipe in 0..PIPES {
                if let Some(sent) = pipes.read(pipe, &run.calls)? {
                    run.got(sent);
                    left -= 1;
                }
            }
            if left == before {
                run.other_work();
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
