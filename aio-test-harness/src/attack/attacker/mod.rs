//! A thread of the attack: it does one random action after the other.

#![forbid(unsafe_code)]

mod batch;
mod handles;
mod lanes;
mod queues;
mod room;

use std::{sync::Arc, thread};

use super::{
    acts::{self, Event, saw, status},
    child,
    deeds::guard,
    handle::Handle,
    lanes::LaneHandle,
    round::{Q, Round},
    seam::fork,
};

/// How many handles a thread keeps.
const MOST_HELD: usize = 12;
const MOST_LANES: usize = 3;
/// How deep actions are done within others: in a batch that is being filled, say.
const DEEPEST: u32 = 2;

/// Does something for one kind of operation of all.
macro_rules! with_kind {
    ($rng:expr, $K:ident => $then:expr) => {
        match $rng.u8(..10) {
            0 => {
                type $K = Transfer<Vec<u8>>;
                $then
            }
            1 => {
                type $K = Transfer<Box<[u8]>>;
                $then
            }
            2 | 3 => {
                type $K = Transfer<AlignedBuf>;
                $then
            }
            4 => {
                type $K = Transfer<Slice<Vec<u8>>>;
                $then
            }
            5 => {
                type $K = Transfer<Arc<[u8]>>;
                $then
            }
            6 => {
                type $K = VectoredTransfer<Vec<u8>>;
                $then
            }
            7 => {
                type $K = FileSync;
                $then
            }
            _ => {
                type $K = FilePoll;
                $then
            }
        }
    };
}
pub(super) use with_kind;

/// See the [module](self).
pub(super) struct Attacker {
    pub(super) round: Arc<Round>,
    pub(super) rng: fastrand::Rng,
    queues: Vec<Arc<Q>>,
    held: Vec<Box<dyn Handle>>,
    lanes: Vec<Box<dyn LaneHandle>>,
    depth: u32,
}

impl Attacker {
    pub(super) fn new(round: &Arc<Round>, number: usize) -> Self {
        let seed = round.plan.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            round: Arc::clone(round),
            rng: fastrand::Rng::with_seed(seed),
            queues: Vec::new(),
            held: Vec::new(),
            lanes: Vec::new(),
            depth: 0,
        }
    }

    /// All of its actions.
    pub(super) fn run(mut self) {
        let status = status();
        let end = status.moved() + u64::from(self.round.plan.actions);
        while status.moved() < end {
            self.step();
        }
        let round = Arc::clone(&self.round);
        // Bit by bit, so that a child that comes out of it has the rest.
        while let Some(lane) = self.lanes.pop() {
            guard(&round, || self.drop_lane(lane));
            self.settle();
        }
        while let Some(handle) = self.held.pop() {
            guard(&round, || self.drop_handle(handle));
            self.settle();
        }
        while let Some(queue) = self.queues.pop() {
            guard(&round, || drop(queue));
            self.settle();
        }
    }

    /// One action, or several that belong together.
    fn step(&mut self) {
        let round = Arc::clone(&self.round);
        guard(&round, || self.act());
        self.settle();
    }

    /// An action within another one.
    pub(super) fn step_inside(&mut self) {
        if self.depth < DEEPEST {
            self.depth += 1;
            self.step();
            self.depth -= 1;
        }
    }

    /// If this has become a child, it does what children do, and ends.
    fn settle(&mut self) {
        if fork::is_child() {
            let held = std::mem::take(&mut self.held);
            let lanes = std::mem::take(&mut self.lanes);
            let queues = std::mem::take(&mut self.queues);
            child::end(&self.round, held, lanes, queues);
        }
    }

    fn act(&mut self) {
        match self.rng.u32(..1000) {
            0..=199 => self.submit(),
            200..=549 => self.use_handle(),
            550..=649 => self.batch(),
            650..=699 => self.reserve(),
            700..=729 => self.make_lane(),
            730..=849 => self.use_lane(),
            850..=974 => self.use_queue(),
            975..=997 => self.socket(),
            _ => self.fork(),
        }
    }

    /// A handle of a queue.
    fn queue(&mut self) -> Option<Arc<Q>> {
        if self.queues.is_empty() || self.rng.u8(..32) == 0 {
            let q = self.round.any_queue(&mut self.rng)?;
            self.queues.push(Arc::new(q));
            if self.queues.len() > 4 {
                let n = self.rng.usize(..self.queues.len());
                drop(self.queues.swap_remove(n));
            }
        }
        self.rng.choice(&self.queues).cloned()
    }

    fn keep(&mut self, handle: Option<Box<dyn Handle>>) {
        let Some(handle) = handle else { return };
        self.held.push(handle);
        if self.held.len() > MOST_HELD {
            let n = self.rng.usize(..self.held.len());
            let handle = self.held.swap_remove(n);
            self.drop_handle(handle);
        }
    }

    fn socket(&mut self) {
        let n = self.rng.usize(..8);
        if self.rng.u8(..4) > 0 {
            self.round.files.feed(n);
        } else {
            self.round.files.starve(n);
        }
    }

    fn fork(&mut self) {
        if !self.round.plan.forks || self.rng.u8(..4) > 0 {
            return;
        }
        // So that there is something in flight.
        self.submit();
        if let Some(mut lane) = self.lanes.pop() {
            lane.batch(self);
            self.lanes.push(lane);
        }
        match fork::fork(self.round.plan.child_limit, Event::Fork) {
            // The rest is done in `settle`.
            Ok(_) => {}
            Err(what) => self.round.fail(what),
        }
    }

    /// Does something with what is borrowed in another thread.
    fn elsewhere<R: Send>(&self, call: impl FnOnce() -> R + Send) -> Option<R> {
        let status = status();
        let round = &self.round;
        saw(Event::Moved);
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                acts::enter(&status);
                let result = guard(round, call);
                if fork::is_child() {
                    fork::end_child(0);
                }
                result
            });
            thread.join().ok().flatten()
        })
    }
}
