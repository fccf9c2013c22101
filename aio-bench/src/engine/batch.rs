//! `aio-safe-batch`: all operations that may be submitted go into one batch.

use aio_safe::{Op, Pending};
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::{
        access::Access,
        batches::{self, Batches},
    },
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct InBatches<'a, F>(Batches<'a, F>);

pub(super) fn set_up<F: Access>(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    batches::set_up::<F>(work, queue, |batches| then(&mut InBatches(batches)))
}

impl<F: Access> Engine for InBatches<'_, F> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let this = &mut self.0;
        let mut stamps: Vec<T::Stamp> = Vec::new();
        let mut done = 0;
        let mut unsynced = false;
        loop {
            if unsynced && this.handles.is_empty() {
                let sync = this.queue.queue.submit(this.file, Op::fdatasync())?;
                sync.wait()?;
                unsynced = false;
            }
            // With a sync after each batch, the next batch begins when all operations are done.
            if this.handles.is_empty() || !this.work.sync {
                let n = pace.grant(this.room());
                if n > 0 {
                    this.submit(n, timing, &mut stamps)?;
                    unsynced = this.work.sync;
                }
            }
            if this.handles.is_empty() {
                return Ok(done);
            }
            if !this.queue.shared {
                this.queue.queue.reap(1, None)?;
            } else if !this.handles[0].is_done() {
                // Another thread may reap this thread's operations, so only the handles tell which
                // are done.
                this.wait(timing, &mut stamps)?;
                done += 1;
            }
            done += this.take(timing, &mut stamps, Pending::try_take)?;
        }
    }
}
