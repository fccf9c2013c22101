//! POSIX AIO.

use std::os::fd::AsFd;

use aio_safe::AlignedBuf;
use anyhow::{Context, Result};

use crate::{
    pipes::{MESSAGE, PIPES, Pipes},
    posix::Requests,
    run::{Outcome, Run},
};

/// Keeps a read of each pipe in flight. Between them it asks each request for its status, or
/// blocks in `aio_suspend` if there is no other work.
pub(crate) fn requests(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    let buffers: Result<_, _> = (0..PIPES)
        .map(|_| AlignedBuf::zeroed(MESSAGE, align_of::<u64>()))
        .collect();
    let readers: Vec<_> = pipes.readers.iter().map(AsFd::as_fd).collect();
    let mut requests = Requests::new(buffers?, &readers)?;
    // How many messages each pipe still has to get.
    let mut left = [pipes.each; PIPES];
    pipes.timed(run, |run| {
        for pipe in 0..PIPES {
            requests.read(pipe, pipe, 0)?;
        }
        while left.iter().any(|&left| left > 0) {
            if run.has_other_work() {
                run.other_work();
            } else {
                requests.suspend()?;
            }
            for (pipe, left) in left.iter_mut().enumerate() {
                let Some(result) = requests.finished(pipe) else {
                    continue;
                };
                let (length, message) = result?;
                let message = message.try_into().context("a message's buffer")?;
                run.got(pipes.sent(length, message)?);
                *left -= 1;
                if *left > 0 {
                    requests.read(pipe, pipe, 0)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
