//! POSIX AIO.

use std::{os::fd::AsFd, time::Instant};

use anyhow::Result;

use crate::{
    blocks::{Blocks, DEPTH},
    posix::Requests,
    run::{Outcome, Run},
};

/// Keeps eight requests in flight. Between them it asks each request for its status, or blocks
/// in `aio_suspend` if there is no other work.
pub(crate) fn requests(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    let mut requests = Requests::new(blocks.buffers()?, &[blocks.as_fd()])?;
    run.timed(|run| {
        let mut order = blocks.order.iter();
        // What each request reads, and since when.
        let mut reads: [Option<(u32, Instant)>; DEPTH] = [None; DEPTH];
        loop {
            for (index, read) in reads.iter_mut().enumerate() {
                if read.is_none() {
                    let Some(&block) = order.next() else { break };
                    *read = Some((block, Instant::now()));
                    requests.read(index, 0, Blocks::offset(block))?;
                }
            }
            if reads.iter().all(Option::is_none) {
                return Ok(());
            }
            if run.has_other_work() {
                run.other_work();
            } else {
                requests.suspend()?;
            }
            for (index, read) in reads.iter_mut().enumerate() {
                let Some((block, since)) = *read else {
                    continue;
                };
                if let Some(result) = requests.finished(index) {
                    let (length, buffer) = result?;
                    Blocks::check(block, length, buffer)?;
                    run.got(since);
                    *read = None;
                }
            }
        }
    })?;
    Ok(Outcome::Done)
}
