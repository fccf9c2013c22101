//! `aio-safe-lane`: all operations that may be submitted go to the kernel in one batch. Results are
//! taken from the lane as they come.

use std::os::fd::{AsFd, BorrowedFd};

use aio_safe::{AlignedBuf, BufResult, Lane, Op, lane::LaneBatch, op::Transfer};
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::access::{Access, number},
    pace::Pace,
    timing::Timing,
    work::Work,
};

/// The state of a thread between its turns.
pub(super) struct Lanes<'a, F> {
    pub(super) work: Work,
    pub(super) queue: QueueOf<'a>,
    pub(super) file: &'a F,
    /// The buffers that aren't in flight.
    buffers: Vec<AlignedBuf>,
}

/// A turn's lane and its state. The value of an operation is the offset of its block and the time
/// of its submission.
pub(super) struct Turn<'l, 'a, T: Timing, F> {
    pub(super) lanes: &'l mut Lanes<'a, F>,
    pub(super) lane: Lane<Transfer<AlignedBuf>, (u64, T::Stamp)>,
    pub(super) pace: &'l mut Pace,
    pub(super) timing: &'l mut T,
    pub(super) done: u64,
    unsynced: bool,
}

/// Makes the state of one thread, and passes it to `then`.
pub(super) fn with_lanes<F: Access>(
    work: Work,
    queue: QueueOf<'_>,
    then: impl FnOnce(Lanes<'_, F>),
) -> Result<()> {
    then(Lanes {
        file: &F::of(&work)?,
        buffers: work.buffers()?,
        work,
        queue,
    });
    Ok(())
}

impl<'a, F> Lanes<'a, F> {
    pub(super) fn turn<'l, T: Timing>(
        &'l mut self,
        pace: &'l mut Pace,
        timing: &'l mut T,
    ) -> Result<Turn<'l, 'a, T, F>> {
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

impl<T: Timing, F: Access> Turn<'_, '_, T, F> {
    /// Whether an fdatasync has to come before the next operations.
    pub(super) fn is_sync_due(&mut self) -> bool {
        let due = self.unsynced && self.lane.in_flight() == 0;
        self.unsynced &= !due;
        due
    }

    /// Submits as many operations as the pace grants. Returns false when nothing is in flight
    /// afterwards.
    #[inline]
    pub(super) fn submit(&mut self) -> Result<bool> {
        // With a sync after each batch, the next batch begins when all operations are done.
        if !self.lanes.buffers.is_empty() && (!self.lanes.work.sync || self.lane.in_flight() == 0) {
            self.begin()?;
        }
        Ok(self.lane.in_flight() > 0)
    }

    /// Submits with the buffers that aren't in flight.
    // Without a sync this happens once in a turn, because `take` submits each buffer again.
    #[inline(never)]
    fn begin(&mut self) -> Result<()> {
        let fd = self.lanes.file.as_fd();
        let mut batch = self.lane.batch();
        for _ in 0..self.pace.grant(self.lanes.buffers.len()) {
            let buffer = self
                .lanes
                .buffers
                .pop()
                .expect("the pace grants no more than that");
            push(
                &mut batch,
                self.lanes.file,
                &fd,
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

    /// Takes the results that are there, checks them, and submits their buffers again at once.
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
        let fd = file.as_fd();
        let mut batch = self.lane.batch();
        while let Some(((offset, stamp), outcome)) = batch.try_take() {
            let BufResult { result, mut buffer } = outcome;
            self.timing.taken(stamp);
            work.done(&mut buffer, offset, number(result))?;
            self.done += 1;
            if again > 0 {
                again -= 1;
                push(&mut batch, *file, &fd, work, self.timing, buffer)?;
            } else {
                buffers.push(buffer);
            }
        }
        Ok(batch.submit()?)
    }
}

/// Pushes the next operation.
#[inline(always)]
fn push<'l, T: Timing, F: Access>(
    batch: &mut LaneBatch<'l, Transfer<AlignedBuf>, (u64, T::Stamp)>,
    file: &F,
    fd: &'l BorrowedFd<'_>,
    work: &mut Work,
    timing: &T,
    mut buffer: AlignedBuf,
) -> Result<()> {
    let offset = work.next(&mut buffer);
    let value = (offset, timing.submitted());
    file.push_to_lane(batch, fd, work.write, buffer, value)
}

struct InALane<'a, F>(Lanes<'a, F>);

pub(super) fn set_up<F: Access>(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    with_lanes::<F>(work, queue, |lanes| then(&mut InALane(lanes)))
}

impl<F: Access> Engine for InALane<'_, F> {
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
