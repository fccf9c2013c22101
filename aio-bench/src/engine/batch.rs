//! `aio-safe-batch`: everything that may be submitted goes in one batch.

use std::fs::File;

use aio_safe::{AlignedBuf, Batch, Op, Pending, Transfer};
use anyhow::Result;

use super::{Engine, QueueOf, Use, result};
use crate::{pace::Pace, timing::Timing, work::Work};

struct InBatches<'a> {
    work: Work,
    file: &'a File,
    queue: QueueOf<'a>,
    batch: Batch<'a, Transfer<AlignedBuf>>,
    /// Buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
    /// What is in flight, and beside it the offsets of the blocks.
    handles: Vec<Pending<Transfer<AlignedBuf>>>,
    offsets: Vec<u64>,
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut InBatches {
        file: &std::sync::Arc::clone(&work.file),
        batch: queue.queue.batch(),
        buffers: work.buffers()?,
        handles: Vec::with_capacity(work.depth),
        offsets: Vec::with_capacity(work.depth),
        work,
        queue,
    });
    Ok(())
}

impl InBatches<'_> {
    /// Submits so many operations.
    #[inline]
    fn submit<T: Timing>(
        &mut self,
        n: usize,
        timing: &T,
        stamps: &mut Vec<T::Stamp>,
    ) -> Result<()> {
        let rest = self.buffers.len() - n;
        for mut buffer in self.buffers.drain(rest..) {
            let offset = self.work.next(&mut buffer);
            let op = if self.work.write {
                Op::write(buffer, offset)
            } else {
                Op::read(buffer, offset)
            };
            stamps.push(timing.submitted());
            self.offsets.push(offset);
            self.batch.push(self.file, op)?;
        }
        Ok(self.batch.submit(&mut self.handles)?)
    }

    /// Takes the result of one that is in flight, waiting for it if need be.
    #[inline]
    fn take<T: Timing>(
        &mut self,
        index: usize,
        timing: &mut T,
        stamps: &mut Vec<T::Stamp>,
    ) -> Result<()> {
        let (handle, offset) = (
            self.handles.swap_remove(index),
            self.offsets.swap_remove(index),
        );
        let mut outcome = handle.wait();
        timing.taken(stamps.swap_remove(index));
        self.work
            .done(&mut outcome.buffer, offset, result(outcome.result))?;
        self.buffers.push(outcome.buffer);
        Ok(())
    }
}

impl Engine for InBatches<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut stamps: Vec<T::Stamp> = Vec::new();
        let mut done = 0;
        let mut unsynced = false;
        loop {
            if unsynced && self.handles.is_empty() {
                self.queue
                    .queue
                    .submit(self.file, Op::fdatasync())?
                    .wait()?;
                unsynced = false;
            }
            // With a sync after each batch, the next one begins when all of it is over.
            if self.handles.is_empty() || !self.work.sync {
                let n = pace.grant(self.buffers.len());
                if n > 0 {
                    self.submit(n, timing, &mut stamps)?;
                    unsynced = self.work.sync;
                }
            }
            if self.handles.is_empty() {
                return Ok(done);
            }
            if !self.queue.shared {
                self.queue.queue.reap(1, None)?;
            } else if !self.handles[0].is_done() {
                // Another thread may reap what is ours: only our own handles tell when there is something.
                self.take(0, timing, &mut stamps)?;
                done += 1;
            }
            // Backwards, so that what takes the place of one that is taken was looked at before.
            for index in (0..self.handles.len()).rev() {
                if self.handles[index].is_done() {
                    self.take(index, timing, &mut stamps)?;
                    done += 1;
                }
            }
        }
    }
}
