//! Native AIO: the queue waits until a pipe is ready, the program reads.

use aio_safe::{
    Op, OpError, Pending, Queue,
    op::{FilePoll, PollEvents},
};
use anyhow::{Context, Result};

use crate::{
    counted,
    pipes::{PIPES, Pipes},
    run::{Outcome, Run},
};

/// Keeps a poll of each pipe in flight. Between them it looks into the completion ring, or blocks
/// until there is a completion if there is no other work.
pub(crate) fn polls(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    // A poll that is over keeps its slot until the next one is submitted.
    let queue = match counted::queue(PIPES + 1, &run.calls) {
        Ok(queue) => queue,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    };
    // Nothing was sent yet, so only a refused poll is over at once.
    let probe = submit(&queue, pipes, 0)?;
    if probe.is_done() {
        if let Err(OpError::Refused(errno)) = probe.wait() {
            return Ok(Outcome::Refused(format!("a poll by io_submit: {errno}")));
        }
    } else {
        drop(probe);
        queue.drain()?;
    }
    // Polls that are left over are cancelled behind the end of the measurement.
    let mut polls = Vec::with_capacity(PIPES);
    pipes.timed(run, |run| {
        for pipe in 0..PIPES {
            polls.push(submit(&queue, pipes, pipe)?);
        }
        let mut left = pipes.total();
        while left > 0 {
            if !run.has_other_work() {
                counted::wait(&queue)?;
            } else if queue.reap(0, None)? == 0 {
                run.other_work();
            }
            for (pipe, poll) in polls.iter_mut().enumerate() {
                if !poll.is_done() {
                    continue;
                }
                // The pipes are non-blocking. So if one isn't ready after all, the read doesn't
                // block.
                if let Some(sent) = pipes.read(pipe, &run.calls)? {
                    run.got(sent);
                    left -= 1;
                }
                let over = std::mem::replace(poll, submit(&queue, pipes, pipe)?);
                over.wait().context("a poll")?;
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

fn submit(queue: &Queue, pipes: &Pipes, pipe: usize) -> Result<Pending<FilePoll>> {
    Ok(queue.submit(&pipes.readers[pipe], Op::poll(PollEvents::IN))?)
}
