//! The common part of the engines with batches: submitting a batch, and taking all results that are
//! there.

use std::mem;

use aio_safe::{
    AlignedBuf, BufResult, Op, Pending, SubmitError, error::QueueError, op::Transfer, queue::Batch,
};
use anyhow::{Error, Result};

use super::QueueOf;
use crate::{
    engine::access::{Access, number},
    timing::Timing,
    work::Work,
};

pub(super) type Handle = Pending<Transfer<AlignedBuf>>;
pub(super) type Outcome = BufResult<usize, AlignedBuf>;

pub(super) struct Batches<'a, F> {
    pub(super) work: Work,
    pub(super) file: &'a F,
    pub(super) queue: QueueOf<'a>,
    batch: Batch<'a, Transfer<AlignedBuf>>,
    /// The buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
    /// The handles of the operations in flight, and the offsets of their blocks in the same order.
    pub(super) handles: Vec<Handle>,
    offsets: Vec<u64>,
    /// Empty vectors that take over from `handles` and `offsets`.
    spare: (Vec<Handle>, Vec<u64>),
}

/// Makes the batches of one thread, and passes them to `then`.
pub(super) fn set_up<F: Access>(
    work: Work,
    queue: QueueOf<'_>,
    then: impl FnOnce(Batches<'_, F>),
) -> Result<()> {
    let depth = work.depth;
    then(Batches {
        file: &F::of(&work)?,
        batch: queue.queue.batch(),
        buffers: work.buffers()?,
        handles: Vec::with_capacity(depth),
        offsets: Vec::with_capacity(depth),
        spare: (Vec::with_capacity(depth), Vec::with_capacity(depth)),
        work,
        queue,
    });
    Ok(())
}

/// Pushes an operation for which the queue had no free slot. There is a slot for each buffer. But a
/// thread that looks for a free slot can miss it while other threads claim and free slots.
#[cold]
fn push_again<'a, F: Access>(
    batch: &mut Batch<'a, Transfer<AlignedBuf>>,
    file: &'a F,
    queue: QueueOf<'_>,
    mut back: SubmitError<Op<Transfer<AlignedBuf>>>,
) -> Result<()> {
    while back.reason == QueueError::QueueFull && queue.shared {
        std::thread::yield_now();
        match batch.push(file, back.op) {
            Ok(()) => return Ok(()),
            Err(again) => back = again,
        }
    }
    Err(Error::new(back.reason))
}

impl<F: Access> Batches<'_, F> {
    /// The number of operations that can be submitted now.
    pub(super) fn room(&self) -> usize {
        self.buffers.len()
    }

    /// Submits `n` operations.
    // Always: no `ret` is to follow the system call.
    #[inline(always)]
    pub(super) fn submit<T: Timing>(
        &mut self,
        n: usize,
        timing: &T,
        stamps: &mut Vec<T::Stamp>,
    ) -> Result<()> {
        self.batch.expect_more(n);
        let rest = self.buffers.len() - n;
        for mut buffer in self.buffers.drain(rest..) {
            let offset = self.work.next(&mut buffer);
            stamps.push(timing.submitted());
            self.offsets.push(offset);
            let pushed = self
                .file
                .push(&mut self.batch, self.work.write, buffer, offset);
            if let Err(back) = pushed {
                push_again(&mut self.batch, self.file, self.queue, back)?;
            }
        }
        Ok(self.batch.submit(&mut self.handles)?)
    }

    /// Takes the results that `ready` returns, and returns their number.
    #[inline]
    pub(super) fn take<T: Timing>(
        &mut self,
        timing: &mut T,
        stamps: &mut Vec<T::Stamp>,
        mut ready: impl FnMut(Handle) -> Result<Outcome, Handle>,
    ) -> Result<u64> {
        let mut handles = mem::replace(&mut self.handles, mem::take(&mut self.spare.0));
        let mut offsets = mem::replace(&mut self.offsets, mem::take(&mut self.spare.1));
        let before = mem::take(stamps);
        let mut done = 0;
        let in_flight = handles.drain(..).zip(offsets.drain(..)).zip(before);
        for ((handle, offset), stamp) in in_flight {
            match ready(handle) {
                Ok(outcome) => {
                    timing.taken(stamp);
                    self.finish(outcome, offset)?;
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

    /// Waits for one operation in flight.
    pub(super) fn wait<T: Timing>(
        &mut self,
        timing: &mut T,
        stamps: &mut Vec<T::Stamp>,
    ) -> Result<()> {
        let outcome = self.handles.swap_remove(0).wait();
        timing.taken(stamps.swap_remove(0));
        let offset = self.offsets.swap_remove(0);
        self.finish(outcome, offset)
    }

    #[inline(always)]
    fn finish(&mut self, outcome: Outcome, offset: u64) -> Result<()> {
        let BufResult { result, mut buffer } = outcome;
        self.work.done(&mut buffer, offset, number(result))?;
        self.buffers.push(buffer);
        Ok(())
    }
}
