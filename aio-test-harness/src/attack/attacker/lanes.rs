//! Lanes.

#![forbid(unsafe_code)]

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use aio_safe::{
    AlignedBuf,
    buf::Slice,
    op::{Transfer, VectoredTransfer},
};

use super::{Attacker, MOST_LANES};
use crate::attack::{
    acts::{Act, Event, did, saw},
    deeds::Bell,
    lanes::{LaneHandle, OneLane},
};

impl Attacker {
    pub(super) fn make_lane(&mut self) {
        if self.lanes.len() >= MOST_LANES {
            return;
        }
        let Some(q) = self.queue() else { return };
        let places = self.rng.u32(..=q.info.depth.min(6) + 1);
        let made = match self.rng.u8(..5) {
            0 => OneLane::<Transfer<Vec<u8>>>::make(&q, places),
            1 => OneLane::<Transfer<AlignedBuf>>::make(&q, places),
            2 => OneLane::<Transfer<Arc<[u8]>>>::make(&q, places),
            3 => OneLane::<Transfer<Slice<Vec<u8>>>>::make(&q, places),
            _ => OneLane::<VectoredTransfer<Vec<u8>>>::make(&q, places),
        };
        match made {
            Ok(lane) => self.lanes.push(lane),
            Err(reason) => self.round.check(q.info.check(reason)),
        }
    }

    pub(super) fn drop_lane(&mut self, lane: Box<dyn LaneHandle>) {
        did(Act::LaneDrop);
        drop(lane);
    }

    pub(super) fn use_lane(&mut self) {
        if self.lanes.is_empty() {
            let Some(lane) = self.round.lanes.take(&mut self.rng) else {
                return;
            };
            saw(Event::Moved);
            self.lanes.push(lane);
        }
        let n = self.rng.usize(..self.lanes.len());
        let mut lane = self.lanes.swap_remove(n);
        let round = Arc::clone(&self.round);
        match self.rng.u8(..32) {
            0..=9 => lane.batch(self),
            10..=14 => lane.try_take(&round),
            15..=17 => {
                let timeout = self.timeout();
                lane.reap(Some(timeout));
            }
            18 => lane.reap(None),
            19..=21 => lane.wait(&round),
            22 | 23 => {
                let waker = Bell::waker(&round, &mut self.rng);
                let _ = lane.poll(&mut Context::from_waker(&waker));
            }
            24 => {
                let waker = Bell::waker(&round, &mut self.rng);
                lane.next(&round, &mut Context::from_waker(&waker));
            }
            25 if round.plan.served && self.depth == 0 && lane.lasts() => {
                self.await_lane(&mut *lane);
            }
            26 => lane.ask(&round),
            27 => return self.drop_lane(lane),
            28 => {
                self.round.lanes.put(lane);
                return;
            }
            29 if round.plan.forgets && lane.lasts() && self.rng.u8(..8) == 0 => {
                return lane.forget(&round);
            }
            30 if self.rng.u8(..8) == 0 => {
                let timeout = self.timeout();
                self.elsewhere(|| lane.reap(Some(timeout)));
            }
            31 => {
                if let Some(other) = self.lanes.first_mut() {
                    std::mem::swap(other, &mut lane);
                }
            }
            _ => {}
        }
        self.lanes.push(lane);
    }

    fn await_lane(&mut self, lane: &mut dyn LaneHandle) {
        loop {
            let bell = Bell::new(&self.round, &mut self.rng);
            let waker = Waker::from(Arc::clone(&bell));
            if lane.poll(&mut Context::from_waker(&waker)).is_ready() {
                return;
            }
            did(Act::Await);
            bell.sleep();
        }
    }
}
