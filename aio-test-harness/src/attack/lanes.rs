//! Lanes of any kind, with what is known of what is in them.

#![forbid(unsafe_code)]

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aio_safe::{Lane, error::QueueError};

use super::{
    acts::{Act, Event, did, saw},
    attacker::Attacker,
    deeds::{Planted, Token, is_of_fork},
    kinds::{Fate, LaneKind},
    round::{Info, Q, Round},
    seam::fork,
};

/// A lane. What comes of its operations is checked wherever it is taken.
pub(super) trait LaneHandle: Send {
    /// Pushes, pops, submits and takes in a batch, with other actions in between.
    fn batch(&mut self, attacker: &mut Attacker);
    fn try_take(&mut self, round: &Round);
    fn reap(&mut self, timeout: Option<Duration>);
    fn wait(&mut self, round: &Round);
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize>;
    /// Polls `next` once, and drops the future.
    fn next(&mut self, round: &Round, context: &mut Context<'_>);
    /// Compares what it says of itself.
    fn ask(&mut self, round: &Round);
    fn forget(self: Box<Self>, round: &Round);
    /// Whether a thread reaps for its queue.
    fn lasts(&self) -> bool;
    /// In a child: whether all that can be done says that it is a child.
    fn check_in_child(self: Box<Self>, how: u32);
}

/// What goes with an operation.
pub(super) struct Value<E> {
    token: Token,
    expect: E,
}

/// A lane of one kind.
pub(super) struct OneLane<K: LaneKind> {
    lane: Lane<K, Value<K::Expect>>,
    info: Arc<Info>,
    places: usize,
    /// Numbers of what is in flight or not taken.
    inside: HashSet<u64>,
    /// Those of them that were never submitted: their batch was dropped.
    handed_back: HashSet<u64>,
}

impl<K: LaneKind> OneLane<K> {
    pub(super) fn make(q: &Q, places: u32) -> Result<Box<dyn LaneHandle>, QueueError> {
        did(Act::Lane);
        Ok(Box::new(Self {
            lane: q.queue.lane::<K, _>(places)?,
            info: Arc::clone(&q.info),
            places: places as usize,
            inside: HashSet::new(),
            handed_back: HashSet::new(),
        }))
    }
}

/// Checks a result. Its value is dropped last: what it does then may be a panic.
fn check<K: LaneKind>(
    round: &Round,
    inside: &mut HashSet<u64>,
    handed_back: &mut HashSet<u64>,
    result: Option<(Value<K::Expect>, K::Output)>,
) {
    let Some((value, output)) = result else {
        return;
    };
    saw(Event::Checked);
    if !inside.remove(&value.token.number) {
        round.fail(format!("value {} came twice", value.token.number));
    }
    if handed_back.remove(&value.token.number) {
        // It is refused, whatever it was to be. The kernel never heard of it.
        return;
    }
    round.check(K::check(&value.expect, Fate::default(), output));
}

impl<K: LaneKind> LaneHandle for OneLane<K> {
    fn batch(&mut self, attacker: &mut Attacker) {
        let round = Arc::clone(&attacker.round);
        let Self {
            lane,
            info,
            inside,
            handed_back,
            ..
        } = self;
        did(Act::LaneBatch);
        let mut batch = lane.batch();
        let mut pushed: Vec<u64> = Vec::new();
        for _ in 0..attacker.rng.u32(1..10) {
            match attacker.rng.u32(..16) {
                0..=7 => {
                    let (target, op, expect) = K::make(&mut round.draw(&mut attacker.rng));
                    let token = Token::new(&round, &mut attacker.rng);
                    let number = token.number;
                    let full = batch.room() == 0;
                    did(Act::LanePush);
                    let value = Value { token, expect };
                    match batch.push(round.files.get(target), op, value) {
                        Ok(()) => pushed.push(number),
                        Err(error) => {
                            round.check(info.check(error.reason));
                            if !full {
                                round.fail("a lane with room was full".to_owned());
                            }
                            drop(error.op);
                        }
                    }
                }
                8..=10 => {
                    did(Act::LaneSubmit);
                    let before = batch.len();
                    let submitted = batch.submit();
                    for number in pushed.drain(..before - batch.len()) {
                        inside.insert(number);
                    }
                    match submitted {
                        Ok(()) if batch.is_empty() => {}
                        Ok(()) => round.fail("not all of a lane was submitted".to_owned()),
                        Err(reason) => round.check(info.check(reason)),
                    }
                }
                11 => {
                    did(Act::LanePop);
                    let expected = pushed.pop();
                    let popped = batch.pop();
                    let number = popped.as_ref().map(|(_, value)| value.token.number);
                    if number != expected {
                        round.fail(format!("popped {number:?}, not {expected:?}"));
                    }
                }
                12 | 13 => {
                    did(Act::LaneBatchTake);
                    check::<K>(&round, inside, handed_back, batch.try_take());
                }
                14 => attacker.step_inside(),
                _ => {
                    if batch.len() != pushed.len() {
                        round.fail("a lane's batch is of another length".to_owned());
                    }
                }
            }
        }
        // More often than not, so that something is in flight.
        if attacker.rng.u8(..4) > 0 {
            did(Act::LaneSubmit);
            let before = batch.len();
            let submitted = batch.submit();
            inside.extend(pushed.drain(..before - batch.len()));
            if let Err(reason) = submitted {
                round.check(info.check(reason));
            }
        }
        if attacker.rng.u8(..16) == 0 {
            did(Act::LaneBatchForget);
            // What is in it is never submitted, and its places stay the lane's.
            round.tokens.forgotten(batch.len());
            round.shares.forgotten(batch.len() * K::SHARES);
            std::mem::forget(batch);
        } else {
            if attacker.rng.bool() {
                did(Act::LaneBatchClear);
                batch.clear();
                pushed.clear();
            }
            did(Act::LaneBatchDrop);
            drop(batch);
            handed_back.extend(&pushed);
            inside.extend(pushed);
        }
    }

    fn try_take(&mut self, round: &Round) {
        did(Act::LaneTake);
        let result = self.lane.try_take();
        check::<K>(round, &mut self.inside, &mut self.handed_back, result);
    }

    fn reap(&mut self, timeout: Option<Duration>) {
        did(Act::LaneReap);
        self.lane.wait_ready(timeout);
    }

    fn wait(&mut self, round: &Round) {
        did(Act::LaneWait);
        let result = self.lane.wait();
        if result.is_none() && !self.inside.is_empty() && !fork::is_child() {
            round.fail("a lane with something in flight has no result".to_owned());
        }
        check::<K>(round, &mut self.inside, &mut self.handed_back, result);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        did(Act::LanePoll);
        self.lane.poll_ready(context)
    }

    fn next(&mut self, round: &Round, context: &mut Context<'_>) {
        did(Act::LaneNext);
        let polled = pin!(self.lane.next()).poll(context);
        if let Poll::Ready(result) = polled {
            check::<K>(round, &mut self.inside, &mut self.handed_back, result);
        }
    }

    fn ask(&mut self, round: &Round) {
        did(Act::LaneAsk);
        let lane = &mut self.lane;
        let (room, in_flight, results) = (lane.room(), lane.in_flight(), lane.results());
        let inside = self.inside.len();
        if room + in_flight != self.places || in_flight != inside || results > in_flight {
            round.fail(format!(
                "a lane of {} places with {inside} inside says: {room} free, {in_flight} in \
                 flight, {results} results",
                self.places
            ));
        }
        lane.has_results();
        drop(format!("{lane:?}"));
    }

    fn forget(self: Box<Self>, round: &Round) {
        did(Act::LaneForget);
        let inside = self.lane.in_flight();
        round.tokens.forgotten(inside);
        round.shares.forgotten(inside * K::SHARES);
        round.bells.forgotten(1);
        self.info.forget();
        std::mem::forget(self.lane);
    }

    fn lasts(&self) -> bool {
        self.info.lasts
    }

    fn check_in_child(self: Box<Self>, how: u32) {
        let mut lane = self.lane;
        let inside = lane.in_flight();
        // What came before the fork may be taken.
        let has_results = lane.has_results();
        let answered = catch_unwind(AssertUnwindSafe(|| match how % 4 {
            0 => {
                did(Act::LaneReap);
                lane.wait_ready(None);
                has_results || inside == 0
            }
            1 => {
                did(Act::LaneWait);
                drop(lane.wait());
                has_results || inside == 0
            }
            2 => {
                did(Act::LanePoll);
                let mut context = Context::from_waker(std::task::Waker::noop());
                let ready = lane.poll_ready(&mut context).is_ready();
                ready && (has_results || inside == 0)
            }
            _ => {
                did(Act::LaneDrop);
                drop(lane);
                true
            }
        }));
        let right = match answered {
            Err(panic) => is_of_fork(&*panic) || panic.is::<Planted>(),
            Ok(right) => right,
        };
        if !right {
            fork::trail("a lane of the parent's has results");
            fork::end_child(4);
        }
    }
}
