//! `aio-safe-single`: each operation is submitted by itself. The thread waits for the oldest one.

use std::collections::VecDeque;

use aio_safe::{AlignedBuf, BufResult, Op};
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::access::{Access, Submitted, number},
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct OneByOne<'a, F: Access> {
    work: Work,
    queue: QueueOf<'a>,
    file: &'a F,
    buffers: Vec<AlignedBuf>,
    /// The handles in flight and the offsets of their blocks, the oldest first.
    handles: VecDeque<(F::Submitted<'a>, u64)>,
}

pub(super) fn set_up<F: Access>(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut OneByOne {
        file: &F::of(&work)?,
        buffers: work.buffers()?,
        handles: VecDeque::with_capacity(work.depth),
        work,
        queue,
    });
    Ok(())
}

impl<'a, F: Access> OneByOne<'a, F> {
    #[inline(always)]
    fn submit(&mut self, mut buffer: AlignedBuf) -> Result<(F::Submitted<'a>, u64)> {
        let offset = self.work.next(&mut buffer);
        let queue = self.queue.queue;
        let handle = self.file.submit(queue, self.work.write, buffer, offset)?;
        Ok((handle, offset))
    }

    #[inline(always)]
    fn wait(&mut self, handle: F::Submitted<'a>, offset: u64) -> Result<()> {
        let BufResult { result, mut buffer } = handle.wait();
        self.work.done(&mut buffer, offset, number(result))?;
        self.buffers.push(buffer);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let sync = self.queue.queue.submit(self.file, Op::fdatasync())?;
        Ok(sync.wait()?)
    }

    /// Does one operation after the other.
    fn alone<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut done = 0;
        while pace.grant(1) == 1 {
            let buffer = self.buffers.pop().expect("the only buffer is back");
            let stamp = timing.submitted();
            let (handle, offset) = self.submit(buffer)?;
            self.wait(handle, offset)?;
            timing.taken(stamp);
            done += 1;
            if self.work.sync {
                self.sync()?;
            }
        }
        Ok(done)
    }

    /// Keeps several operations in flight.
    fn queued<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut stamps: VecDeque<T::Stamp> = VecDeque::new();
        let mut done = 0;
        let mut unsynced = false;
        loop {
            if unsynced && self.handles.is_empty() {
                self.sync()?;
                unsynced = false;
            }
            // With a sync after each batch, the next batch begins when all operations are done.
            if self.handles.is_empty() || !self.work.sync {
                for _ in 0..pace.grant(self.buffers.len()) {
                    let buffer = self
                        .buffers
                        .pop()
                        .expect("the pace grants no more than that");
                    stamps.push_back(timing.submitted());
                    let submitted = self.submit(buffer)?;
                    self.handles.push_back(submitted);
                }
                unsynced = self.work.sync && !self.handles.is_empty();
            }
            let Some((oldest, offset)) = self.handles.pop_front() else {
                return Ok(done);
            };
            self.wait(oldest, offset)?;
            if let Some(stamp) = stamps.pop_front() {
                timing.taken(stamp);
            }
            done += 1;
        }
    }
}

impl<F: Access> Engine for OneByOne<'_, F> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        if self.work.depth == 1 {
            self.alone(pace, timing)
        } else {
            self.queued(pace, timing)
        }
    }
}
