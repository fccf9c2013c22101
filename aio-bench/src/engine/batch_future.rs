//! `aio-safe-batch-future`: one task submits batches and awaits their operations all at once, whichever is first; its
//! thread reaps when it can't go on.

use std::{
    future::poll_fn,
    mem,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use aio_safe::{AlignedBuf, Batch, Op, Pending, Transfer};
use anyhow::Result;

use super::{Engine, QueueOf, Use, future::idle, result};
use crate::{executor::Executor, pace::Pace, timing::Timing, work::Work};

struct BatchFutures<'a> {
    work: Work,
    file: &'a BorrowedFd<'a>,
    queue: QueueOf<'a>,
    batch: Batch<'a, Transfer<AlignedBuf>>,
    executor: Executor,
    /// Buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
    /// What is in flight, and beside it the offsets of the blocks.
    handles: Vec<Pending<Transfer<AlignedBuf>>>,
    offsets: Vec<u64>,
    /// Empty vectors, to take what was in those above.
    spare: (Vec<Pending<Transfer<AlignedBuf>>>, Vec<u64>),
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut BatchFutures {
        file: &std::sync::Arc::clone(&work.file).as_fd(),
        batch: queue.queue.batch(),
        executor: Executor::new(1),
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

impl BatchFutures<'_> {
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

    /// Polls everything that is in flight, and returns how many operations are over, once one is.
    fn poll_all<T: Timing>(
        &mut self,
        cx: &mut Context<'_>,
        timing: &mut T,
        stamps: &mut Vec<T::Stamp>,
    ) -> Poll<Result<u64>> {
        let mut handles = mem::replace(&mut self.handles, mem::take(&mut self.spare.0));
        let mut offsets = mem::replace(&mut self.offsets, mem::take(&mut self.spare.1));
        let before = mem::take(stamps);
        let mut done = 0;
        let in_flight = handles.drain(..).zip(offsets.drain(..)).zip(before);
        for ((mut handle, offset), stamp) in in_flight {
            match Pin::new(&mut handle).poll(cx) {
                Poll::Ready(mut outcome) => {
                    timing.taken(stamp);
                    self.work
                        .done(&mut outcome.buffer, offset, result(outcome.result))?;
                    self.buffers.push(outcome.buffer);
                    done += 1;
                }
                Poll::Pending => {
                    self.handles.push(handle);
                    self.offsets.push(offset);
                    stamps.push(stamp);
                }
            }
        }
        self.spare = (handles, offsets);
        if done == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(done))
        }
    }

    async fn run<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut stamps: Vec<T::Stamp> = Vec::new();
        let mut done = 0;
        let mut unsynced = false;
        loop {
            if unsynced && self.handles.is_empty() {
                self.queue.queue.submit(self.file, Op::fdatasync())?.await?;
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
            done += poll_fn(|cx| self.poll_all(cx, timing, &mut stamps)).await?;
        }
    }
}

impl Engine for BatchFutures<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let executor = mem::replace(&mut self.executor, Executor::new(0));
        let queue = self.queue;
        let mut done = 0;
        let task = async {
            done = self.run(pace, timing).await?;
            Ok(())
        };
        let result = executor.run(&mut [Some(Box::pin(task))], || idle(queue));
        self.executor = executor;
        result.map(|()| done)
    }
}
