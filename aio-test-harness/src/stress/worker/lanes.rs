//! The step that uses lanes: several beside each other, filled and emptied in turns, and dropped with operations in
//! flight.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aio_safe::{BufResult, Errno, Lane, OpError, error::QueueError, lane::LaneBatch, op::Transfer};

use super::Worker;
use crate::stress::{
    buffer::Buffer,
    plan::{self, How, Taking, Turn},
    shared::Instance,
    watch::Phase,
    worker::{
        block_on::block_on,
        finish::gone,
        held::{Job, Task},
    },
};

/// A lane, and what each of its operations is for; the values say which one it is.
struct Share {
    lane: Lane<Transfer<Buffer>, u64>,
    jobs: HashMap<u64, Job>,
    places: usize,
}

type Batch<'l> = LaneBatch<'l, Transfer<Buffer>, u64>;

impl Share {
    /// A lane of so many places, or of fewer.
    fn new(instance: &Instance, places: u32) -> Result<Self, QueueError> {
        let mut places = places;
        loop {
            match instance.queue.lane(places) {
                Ok(lane) => {
                    return Ok(Self {
                        lane,
                        jobs: HashMap::new(),
                        places: places as usize,
                    });
                }
                Err(QueueError::QueueFull) if places > 1 => places /= 2,
                Err(reason) => return Err(reason),
            }
        }
    }
}

impl<'a> Worker<'a> {
    pub(super) fn lanes(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        lanes: usize,
        places: u32,
        seed: u64,
    ) {
        // `recover` may put another in its place.
        let this = Arc::clone(instance);
        let mut shares = Vec::new();
        for _ in 0..lanes {
            match Share::new(&this, places) {
                Ok(share) => shares.push(share),
                Err(QueueError::QueueFull) => self.count.full += 1,
                Err(QueueError::Closed) if this.is_closing() => {}
                Err(reason) => self.fail(&format!("making a lane: {reason}")),
            }
        }
        if shares.is_empty() {
            return;
        }
        let (turns, left) = plan::lanes(seed);
        let mut key = 0;
        for turn in turns {
            let n = turn.lane % shares.len();
            let share = &mut shares[n];
            let Share { lane, jobs, .. } = share;
            let mut batch = lane.batch();
            self.push(&mut batch, jobs, &turn, &mut key);
            for _ in 0..turn.popped {
                self.pop(&mut batch, jobs);
            }
            let goes_on = self.submit_lane(place, instance, &this, &mut batch);
            // What wasn't submitted.
            while self.pop(&mut batch, jobs) {}
            drop(batch);
            self.take(share, turn.taking);
            self.count.checks += 1;
            let (room, in_flight) = (share.lane.room(), share.lane.in_flight());
            if in_flight != share.jobs.len() || room + in_flight != share.places {
                self.fail(&format!(
                    "a lane of {} places: {in_flight} in flight, room for {room}, where {} are under way",
                    share.places,
                    share.jobs.len()
                ));
            }
            if !goes_on || self.ctx.is_over() {
                break;
            }
        }
        for share in shares {
            self.end_lane(share, left, &this);
        }
    }

    /// Pushes transfers for as long as there is room.
    fn push<'l>(
        &mut self,
        batch: &mut Batch<'l>,
        jobs: &mut HashMap<u64, Job>,
        turn: &Turn,
        key: &mut u64,
    ) where
        'a: 'l,
    {
        for (mut transfer, refused) in plan::batch(turn.seed, turn.count) {
            // It may be given up, and then nobody looks whether it has failed.
            transfer.nowait &= !transfer.write;
            transfer.way.how = How::Drop;
            let Some((mut job, mut buffers)) = self.prepare(&transfer, false) else {
                continue;
            };
            let (target, mut offset) = self.target(&job);
            let mut buffer = buffers.remove(0);
            if refused {
                self.unprepare(&job, None);
                buffer.release();
                offset = 1 << 63;
                job = self.job(Task::Refused(Errno::EINVAL));
            }
            let room = batch.room();
            let op = Self::op(&job, buffer, offset);
            match batch.push(&target.file, op, *key) {
                Ok(()) => {
                    jobs.insert(*key, job);
                    *key += 1;
                }
                Err(error) => {
                    let (op, value) = error.op;
                    let full = error.reason == QueueError::QueueFull && room == 0;
                    if !full || value != *key {
                        self.fail(&format!("a lane with room for {room}: {}", error.reason));
                    }
                    self.unprepare(&job, [op.into_payload().into_buffer()]);
                    break;
                }
            }
        }
    }

    /// Takes back what was pushed last.
    fn pop(&mut self, batch: &mut Batch<'_>, jobs: &mut HashMap<u64, Job>) -> bool {
        let Some((op, key)) = batch.pop() else {
            return false;
        };
        match jobs.remove(&key) {
            Some(job) => self.unprepare(&job, [op.into_payload().into_buffer()]),
            None => self.fail("a lane handed back what it didn't have"),
        }
        true
    }

    /// Submits what was pushed. False when the queue takes nothing more.
    fn submit_lane(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        this: &Arc<Instance>,
        batch: &mut Batch<'_>,
    ) -> bool {
        loop {
            let result = {
                let _quiet = self.may_submit(this);
                self.phase(Phase::Submitting);
                batch.submit()
            };
            let Err(reason) = result else { return true };
            let goes_on = self.recover(place, instance, reason) && !self.ctx.is_over();
            if !goes_on || !Arc::ptr_eq(instance, this) {
                return false;
            }
        }
    }

    fn take(&mut self, share: &mut Share, taking: Taking) {
        match taking {
            Taking::Nothing => return,
            Taking::There => {}
            Taking::Reap(micros) => {
                self.phase(Phase::WaitTimeout);
                let timeout = Duration::from_micros(micros.into());
                share.lane.wait_ready(Some(timeout));
            }
            Taking::Wait(times) => {
                for _ in 0..times {
                    self.phase(Phase::Wait);
                    let Some((key, done)) = share.lane.wait() else {
                        break;
                    };
                    self.taken(share, key, done);
                }
                return;
            }
            Taking::Await(times) => {
                for _ in 0..times {
                    self.phase(Phase::Await);
                    let Some((key, done)) = block_on(share.lane.next()) else {
                        break;
                    };
                    self.taken(share, key, done);
                }
                return;
            }
        }
        self.phase(Phase::TryTake);
        while let Some((key, done)) = share.lane.try_take() {
            self.taken(share, key, done);
        }
    }

    fn taken(&mut self, share: &mut Share, key: u64, done: BufResult<usize, Buffer>) {
        self.count.operations += 1;
        self.publish();
        let BufResult { result, mut buffer } = done;
        let Some(job) = share.jobs.remove(&key) else {
            let result: Result<usize, OpError> = result;
            return self.fail(&format!("a lane had {result:?} of what it doesn't have"));
        };
        let end = self.judge(&job, result, std::slice::from_mut(&mut buffer));
        self.buffers.push(buffer);
        self.give_back(job, end);
    }

    /// Takes everything, or drops the lane with what is in flight.
    fn end_lane(&mut self, mut share: Share, left: bool, instance: &Arc<Instance>) {
        if !left {
            self.take(&mut share, Taking::Wait(u8::MAX));
            if !share.jobs.is_empty() {
                self.fail("a lane has nothing in flight, and not given everything back");
            }
        }
        self.phase(Phase::Drop);
        let Share { lane, jobs, .. } = share;
        drop(lane);
        for job in jobs.into_values() {
            self.count.operations += 1;
            let end = gone(&job, Some(instance));
            self.give_back(job, end);
        }
    }
}
