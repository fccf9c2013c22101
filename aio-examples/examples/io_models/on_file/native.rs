//! Native AIO.

use std::time::Instant;

use aio_safe::Op;
use anyhow::Result;

use crate::{
    blocks::{Blocks, DEPTH},
    counted,
    run::{Outcome, Run},
};

/// Keeps eight reads in flight. Between them it looks into the completion ring, or blocks until
/// there is a completion if there is no other work.
pub(crate) fn queue(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    let queue = match counted::queue(DEPTH, &run.calls) {
        Ok(queue) => queue,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    };
    let mut free = blocks.buffers()?;
    run.timed(|run| {
        let mut order = blocks.order.iter();
        let mut reads = Vec::with_capacity(DEPTH);
        loop {
            while let Some(buffer) = free.pop() {
                let Some(&block) = order.next() else { break };
                let since = Instant::now();
                let read = queue.submit(blocks, Op::read(buffer, Blocks::offset(block)))?;
                reads.push((block, since, read));
            }
            if reads.is_empty() {
                return Ok(());
            }
            if !run.has_other_work() {
                counted::wait(&queue)?;
            } else if queue.reap(0, None)? == 0 {
                run.other_work();
            }
            for index in (0..reads.len()).rev() {
                if reads[index].2.is_done() {
                    let (block, since, read) = reads.swap_remove(index);
                    let (length, buffer) = read.wait().into_result()?;
                    Blocks::check(block, length, &buffer)?;
                    run.got(since);
                    free.push(buffer);
                }
            }
        }
    })?;
    Ok(Outcome::Done)
}
