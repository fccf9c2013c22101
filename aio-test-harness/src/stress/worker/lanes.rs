//! The step that uses lanes. Several lanes are filled and emptied in turns, and dropped with
//! operations in flight.

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

/// A lane, and the job of each of its operations. The operation's value is the job's key.
struct Share {
    lane: Lane<Transfer<Buffer>, u64>,
    jobs: HashMap<u64, Job>,
    slots: usize,
}

type Batch<'l> = LaneBatch<'l, Transfer<Buffer>, u64>;

impl Share {
    /// Makes a lane of this number of slots, or of fewer when the queue is full.
    fn new(instance: &Instance, slots: u32) -> Result<Self, QueueError> {
        let mut slots = slots;
        loop {
            match instance.queue.lane(slots) {
                Ok(lane) => {
                    return Ok(Self {
                        lane,
                        jobs: HashMap::new(),
                        slots: slots as usize,
                    });
                }
                Err(QueueError::QueueFull) if slots > 1 => slots /= 2,
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
        slots: u32,
        seed: u64,
    ) {
        // `recover` may replace `instance`.
        let this = Arc::clone(instance);
        let mut shares = Vec::new();
        for _ in 0..lanes {
            match Share::new(&this, slots) {
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
            // These operations were not submitted.
            while self.pop(&mut batch, jobs) {}
            drop(batch);
            self.take(share, turn.taking);
            self.count.checks += 1;
            let (room, in_flight) = (share.lane.room(), share.lane.in_flight());
            if in_flight != share.jobs.len() || room + in_flight != share.slots {
                self.fail(&format!(
                    "a lane of {} slots: {in_flight} in flight, room for {room}, and {} jobs",
                    share.slots,
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

    /// Pushes transfers while there is room.
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
            // The lane may be dropped, and then nobody sees whether a write has failed.
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

    /// Takes back the last operation.
    fn pop(&mut self, batch: &mut Batch<'_>, jobs: &mut HashMap<u64, Job>) -> bool {
        let Some((op, key)) = batch.pop() else {
            return false;
        };
        match jobs.remove(&key) {
            Some(job) => self.unprepare(&job, [op.into_payload().into_buffer()]),
            None => self.fail("a lane handed back an unknown operation"),
        }
        true
    }

    /// Submits the batch. Returns false when the queue takes nothing more.
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
            return self.fail(&format!("a lane had {result:?} of an unknown operation"));
        };
        let end = self.judge(&job, result, std::slice::from_mut(&mut buffer));
        self.buffers.push(buffer);
        self.give_back(job, end);
    }

    /// Takes all results, or drops the lane with operations in flight.
    fn end_lane(&mut self, mut share: Share, left: bool, instance: &Arc<Instance>) {
        if !left {
            self.take(&mut share, Taking::Wait(u8::MAX));
            if !share.jobs.is_empty() {
                self.fail("a lane has nothing in flight, but results are missing");
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
