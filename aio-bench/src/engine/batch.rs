//! `aio-safe-batch`: everything that may be submitted goes in one batch.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd},
};

use aio_safe::{AlignedBuf, Batch, Collector, Op, Pending, Transfer};
use anyhow::Result;

use super::{Engine, QueueOf, Use, result};
use crate::{pace::Pace, timing::Timing, work::Work};

struct InBatches<'a> {
    work: Work,
    file: &'a BorrowedFd<'a>,
    queue: QueueOf<'a>,
    batch: Batch<'a, Transfer<AlignedBuf>>,
    /// Buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
    /// What is in flight, and beside it the offsets of the blocks.
    handles: Vec<Pending<Transfer<AlignedBuf>>>,
    offsets: Vec<u64>,
    /// Empty vectors, to take what was in those above.
    spare: (Vec<Pending<Transfer<AlignedBuf>>>, Vec<u64>),
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut InBatches {
        file: &std::sync::Arc::clone(&work.file).as_fd(),
        batch: queue.queue.batch(),
        buffers: work.buffers()?,
        handles: Vec::with_capacity(work.depth),
        offsets: Vec::with_capacity(work.depth),
        spare: (
            Vec::with_capacity(work.depth),
            Vec::with_capacity(work.depth),
        ),
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
        self.batch.reserve(n);
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

    /// Waits for one that is in flight.
    fn wait<T: Timing>(&mut self, timing: &mut T, stamps: &mut Vec<T::Stamp>) -> Result<()> {
        let mut outcome = self.handles.swap_remove(0).wait();
        let offset = self.offsets.swap_remove(0);
        timing.taken(stamps.swap_remove(0));
        self.work
            .done(&mut outcome.buffer, offset, result(outcome.result))?;
        self.buffers.push(outcome.buffer);
        Ok(())
    }

    /// Takes the results that are there, and returns how many they were.
    #[inline]
    fn take<T: Timing>(&mut self, timing: &mut T, stamps: &mut Vec<T::Stamp>) -> Result<u64> {
        let mut collector = Collector::new();
        let mut handles = mem::replace(&mut self.handles, mem::take(&mut self.spare.0));
        let mut offsets = mem::replace(&mut self.offsets, mem::take(&mut self.spare.1));
        let before = mem::take(stamps);
        let mut done = 0;
        let in_flight = handles.drain(..).zip(offsets.drain(..)).zip(before);
        for ((handle, offset), stamp) in in_flight {
            match collector.try_take(handle) {
                Ok(mut outcome) => {
                    timing.taken(stamp);
                    self.work
                        .done(&mut outcome.buffer, offset, result(outcome.result))?;
                    self.buffers.push(outcome.buffer);
                    done += 1;
                }
                Err(handle) => {
                    self.handles.push(handle);
                    self.offsets.push(offset);
                    stamps.push(stamp);
                }
            }
        }
        self.spare = (handles, offsets);
        Ok(done)
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
                self.wait(timing, &mut stamps)?;
                done += 1;
            }
            done += self.take(timing, &mut stamps)?;
        }
    }
}
