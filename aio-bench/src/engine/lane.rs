//! `aio-safe-lane`: everything that may be submitted goes to the kernel together, and results are taken from a lane as
//! they come.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use aio_safe::{AlignedBuf, BufResult, Lane, Op, lane::LaneBatch, op::Transfer};
use anyhow::{Error, Result};

use super::{Engine, QueueOf, Use, result as number};
use crate::{pace::Pace, timing::Timing, work::Work};

/// What a thread has for its turns.
pub(super) struct Lanes<'a> {
    pub(super) work: Work,
    pub(super) queue: QueueOf<'a>,
    pub(super) file: &'a BorrowedFd<'a>,
    /// Buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
}

/// A turn's lane, and what goes with it. The value of an operation is the offset of its block, and when it was submitted.
pub(super) struct Turn<'l, 'a, T: Timing> {
    pub(super) lanes: &'l mut Lanes<'a>,
    pub(super) lane: Lane<Transfer<AlignedBuf>, (u64, T::Stamp)>,
    pub(super) pace: &'l mut Pace,
    pub(super) timing: &'l mut T,
    pub(super) done: u64,
    unsynced: bool,
}

/// Makes what one thread needs, and hands it on.
pub(super) fn with_lanes(
    work: Work,
    queue: QueueOf<'_>,
    then: impl FnOnce(Lanes<'_>),
) -> Result<()> {
    then(Lanes {
        file: &Arc::clone(&work.file).as_fd(),
        buffers: work.buffers()?,
        work,
        queue,
    });
    Ok(())
}

impl<'a> Lanes<'a> {
    pub(super) fn turn<'l, T: Timing>(
        &'l mut self,
        pace: &'l mut Pace,
        timing: &'l mut T,
    ) -> Result<Turn<'l, 'a, T>> {
        Ok(Turn {
            lane: self.queue.queue.lane(self.work.depth as u32)?,
            lanes: self,
            pace,
            timing,
            done: 0,
            unsynced: false,
        })
    }
}

impl<T: Timing> Turn<'_, '_, T> {
    /// Whether what was written is to be made durable before anything else.
    pub(super) fn is_sync_due(&mut self) -> bool {
        let due = self.unsynced && self.lane.in_flight() == 0;
        self.unsynced &= !due;
        due
    }

    /// Begins as many operations as may be. False when nothing is in flight then.
    #[inline]
    pub(super) fn submit(&mut self) -> Result<bool> {
        // With a sync after each batch, the next one begins when all of it is over.
        if !self.lanes.buffers.is_empty() && (!self.lanes.work.sync || self.lane.in_flight() == 0) {
            self.begin()?;
        }
        Ok(self.lane.in_flight() > 0)
    }

    /// Submits with the buffers that aren't in flight.
    // Where there is no sync this happens once in a turn: `take` uses each buffer again.
    #[inline(never)]
    fn begin(&mut self) -> Result<()> {
        let mut batch = self.lane.batch();
        for _ in 0..self.pace.grant(self.lanes.buffers.len()) {
            let buffer = self.lanes.buffers.pop().expect("not more is granted");
            push(
                &mut batch,
                self.lanes.file,
                &mut self.lanes.work,
                self.timing,
                buffer,
            )?;
        }
        batch.submit()?;
        drop(batch);
        self.unsynced = self.lanes.work.sync && self.lane.in_flight() > 0;
        Ok(())
    }

    /// Takes the results that are there, checks them, and uses the buffers again at once.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Result<()> {
        let Lanes {
            work,
            file,
            buffers,
            ..
        } = &mut *self.lanes;
        let mut again = if work.sync {
            0
        } else {
            self.pace.grant(self.lane.results())
        };
        let file = **file;
        let mut batch = self.lane.batch();
        while let Some(((offset, stamp), outcome)) = batch.try_take() {
            let BufResult { result, mut buffer } = outcome;
            self.timing.taken(stamp);
            work.done(&mut buffer, offset, number(result))?;
            self.done += 1;
            if again > 0 {
                again -= 1;
                push(&mut batch, &file, work, self.timing, buffer)?;
            } else {
                buffers.push(buffer);
            }
        }
        Ok(batch.submit()?)
    }
}

/// Pushes the next operation.
#[inline(always)]
fn push<'l, T: Timing>(
    batch: &mut LaneBatch<'l, Transfer<AlignedBuf>, (u64, T::Stamp)>,
    file: &'l BorrowedFd<'_>,
    work: &mut Work,
    timing: &T,
    mut buffer: AlignedBuf,
) -> Result<()> {
    let offset = work.next(&mut buffer);
    let value = (offset, timing.submitted());
    let pushed = if work.write {
        batch.push(file, Op::write(buffer, offset), value)
    } else {
        batch.push(file, Op::read(buffer, offset), value)
    };
    pushed.map_err(|back| Error::new(back.reason))
}

struct InALane<'a>(Lanes<'a>);

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    with_lanes(work, queue, |lanes| then(&mut InALane(lanes)))
}

impl Engine for InALane<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut turn = self.0.turn(pace, timing)?;
        loop {
            if turn.is_sync_due() {
                let lanes = &turn.lanes;
                let sync = lanes.queue.queue.submit(lanes.file, Op::fdatasync())?;
                sync.wait()?;
            }
            if !turn.submit()? {
                return Ok(turn.done);
            }
            turn.lane.wait_ready(None);
            turn.take()?;
        }
    }
}
