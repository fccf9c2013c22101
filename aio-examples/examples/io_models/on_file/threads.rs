//! Blocking reads in threads.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{RecvError, TryRecvError, channel},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result};

use super::read;
use crate::{
    blocks::{Blocks, DEPTH},
    run::{Outcome, Run},
};

/// Eight threads read, and send their results to the calling thread.
pub(crate) fn pool(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    let (next, start) = (AtomicUsize::new(0), Barrier::new(DEPTH + 1));
    let buffers = blocks.buffers()?;
    let (send, results) = channel::<Result<Instant>>();
    thread::scope(|scope| {
        for mut buffer in buffers {
            let (send, calls) = (send.clone(), run.calls.clone());
            let (next, start) = (&next, &start);
            scope.spawn(move || {
                start.wait();
                while let Some(&block) = blocks.order.get(next.fetch_add(1, Relaxed)) {
                    let since = Instant::now();
                    let result = read(blocks, &calls, block, &mut buffer).map(|()| since);
                    // If nobody receives it, the calling thread has failed, and says so.
                    if send.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        run.timed(|run| {
            // The threads have started before the clock does, and wait here.
            start.wait();
            let mut left = blocks.order.len();
            while left > 0 {
                let result = match results.try_recv() {
                    Ok(result) => result,
                    Err(TryRecvError::Empty) if run.has_other_work() => {
                        run.other_work();
                        continue;
                    }
                    Err(_) => results
                        .recv()
                        .map_err(|RecvError| anyhow::anyhow!("all threads have ended"))?,
                };
                run.got(result.context("a thread's read")?);
                left -= 1;
            }
            Ok(())
        })
    })?;
    Ok(Outcome::Done)
}
