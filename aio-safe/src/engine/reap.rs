//! Taking completions from the kernel, by whoever has the [role](crate::engine::leader).

#![allow(unsafe_code, reason = "completes slots")]

use std::{
    mem::MaybeUninit,
    task::Waker,
    time::{Duration, Instant},
};

use aio_abi::IoEvent;
use aio_sys::Errno;

use crate::{
    ReapError,
    engine::{
        complete::{Completer, Own},
        jobs::{Jobs, TURN},
        leader::{Goal, Lead, Turn},
        shared::Shared,
        slot::{Slot, untag},
    },
    sync::atomic::Ordering::Relaxed,
};

/// The `aio_data` of requests that only end a wait, see [`Shared::kick`](crate::engine::shared::Shared).
pub(crate) const KICK: u64 = u64::MAX;

/// How long whoever waits for room, and reaps as nobody else does, waits in the kernel at a time. Only
/// slow operations make it last so long.
const GLANCE: Duration = Duration::from_millis(20);

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
}

impl Shared {
    /// Whether a goal is reached. The caller leads.
    pub(crate) fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Done(index) => self.slab.get(index).is_none_or(Slot::is_done),
            // SAFETY: whoever waits has the lane, and thereby the inbox.
            Goal::News(news) => unsafe { news.have_come() },
            Goal::Idle => self.gate.count_at_last().is_idle(),
            // Only the one who waits knows.
            Goal::Room | Goal::Role => false,
        }
    }

    /// Waits until `reached` says so, reaping if nobody else does.
    ///
    /// `arm` stores a waker that is woken when the goal is reached, or returns false when it is; it is
    /// for goals that have a waker.
    ///
    /// # Errors
    ///
    /// What `io_getevents` said when nothing can be reaped any more, and the context couldn't be
    /// destroyed either: the goal won't be reached.
    pub(crate) fn wait_for(
        &self,
        goal: Goal,
        deadline: Option<Instant>,
        reached: impl Fn() -> bool,
        arm: impl Fn(&Waker) -> bool,
    ) -> Result<Waited, Errno> {
        // Past the deadline, but not without having looked once.
        let mut looked = false;
        loop {
            if reached() {
                return Ok(Waited::Reached);
            }
            let lead = match self.leadership.join(goal) {
                Turn::Lead(lead) => lead,
                Turn::Follow(seat) => {
                    let mut in_time = true;
                    if arm(&seat.waker()) {
                        while in_time && !reached() && !seat.is_heir() {
                            in_time = seat.park(deadline);
                            if matches!(goal, Goal::Idle | Goal::Room) {
                                // Woken because it was idle, or because there is something to reap
                                // again: if that is over by now, it is waited for from the start.
                                break;
                            }
                        }
                    }
                    let lead = seat.leave();
                    if !in_time && !reached() {
                        if let Some(lead) = lead {
                            lead.pass_on(|goal| self.reached(goal));
                        }
                        return Ok(Waited::TimedOut);
                    }
                    let Some(lead) = lead else { continue };
                    lead
                }
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let late = left == Some(Duration::ZERO);
            let done = reached();
            if done || late && looked {
                lead.pass_on(|goal| self.reached(goal));
                let over = done || reached();
                return Ok(if over {
                    Waited::Reached
                } else {
                    Waited::TimedOut
                });
            }
            looked |= late;
            if matches!(goal, Goal::Idle | Goal::Room) {
                // Whether there will be an event is not known before everybody has come out, and
                // what is reached by other means than an event doesn't end a wait in the kernel.
                let count = self.gate.count();
                if count.inside > 0 || count.in_flight == 0 {
                    lead.pass_on(|goal| self.reached(goal));
                    if count.inside > 0 {
                        self.watch_gate(deadline);
                    } else if goal == Goal::Room {
                        // Served by whoever takes a result; or called when somebody submits, who may
                        // count on us to reap.
                        self.leadership.watch(deadline, &arm, || {
                            self.gate.watch();
                            let count = self.gate.count();
                            count.inside > 0 || count.in_flight > 0
                        });
                    }
                    continue;
                }
            }
            // A place is given by a thread that takes a result, which doesn't end a wait in the kernel.
            let left = match goal {
                Goal::Room => Some(left.map_or(GLANCE, |left| left.min(GLANCE))),
                _ => left,
            };
            let own = match goal {
                // Whoever waits for an operation has its handle, or lane.
                Goal::Done(index) => self
                    .slab
                    .get(index)
                    .map_or(Own::NOTHING, |slot| Own::slot(slot)),
                Goal::News(news) => Own::lane(news.inbox()),
                Goal::Idle | Goal::Room | Goal::Role => Own::NOTHING,
            };
            let mut jobs = Jobs::new(self);
            let result = self.reap(&lead, own, 1, left, &mut jobs);
            let given_up = match result {
                Ok(_) | Err(Errno::EINTR) => None,
                Err(errno) => Some((errno, self.give_up(&lead, &mut jobs))),
            };
            lead.pass_on(|goal| self.reached(goal));
            if given_up.is_some() {
                // Before the jobs, which may panic.
                self.room.close(&self.slab);
            }
            jobs.run_and_resume();
            if let Some((errno, result)) = given_up {
                if result.is_err() && !reached() {
                    return Err(errno);
                }
            }
        }
    }

    /// Takes the role, waits for an event unless `min` is 0, and completes what came. For a caller's own
    /// loop.
    pub(crate) fn reap_turn(
        &self,
        min: usize,
        deadline: Option<Instant>,
    ) -> Result<usize, ReapError> {
        let lead = match self.leadership.join(Goal::Role) {
            Turn::Lead(lead) => lead,
            Turn::Follow(_) if min == 0 => return Ok(0),
            Turn::Follow(seat) => {
                let mut in_time = true;
                while in_time && !seat.is_heir() && !self.gate.is_closed() {
                    in_time = seat.park(deadline);
                }
                match seat.leave() {
                    Some(lead) => lead,
                    None if in_time => return Err(ReapError::Closed),
                    None => return Ok(0),
                }
            }
        };
        if self.gate.is_closed() {
            lead.pass_on(|goal| self.reached(goal));
            return Err(ReapError::Closed);
        }
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut jobs = Jobs::new(self);
        // One at a time: others wait for what comes first, and may be what makes the next one come.
        let result = self.reap(&lead, Own::NOTHING, min.min(1), timeout, &mut jobs);
        lead.pass_on(|goal| self.reached(goal));
        jobs.run_and_resume();
        match result {
            Ok(0) if self.gate.is_closed() => Err(ReapError::Closed),
            Ok(n) => Ok(n),
            Err(Errno::EINTR) => Err(ReapError::Interrupted),
            Err(errno) => Err(ReapError::Os(errno)),
        }
    }

    /// Takes what is in the ring, if nobody else is about to: without a system call, and without waiting.
    #[inline]
    pub(crate) fn glance(&self, own: Own) {
        if self.ring.is_none() {
            return;
        }
        let Some(lead) = self.leadership.try_lead() else {
            return;
        };
        let mut jobs = Jobs::new(self);
        if !self.dead.load(Relaxed) {
            let (_, completed) = self.reap_ring(&lead, own, &mut jobs);
            self.gate.completed(completed);
        }
        lead.pass_on(|goal| self.reached(goal));
        jobs.run_and_resume();
    }

    /// Waits for events and completes their slots, at most [`TURN`] of them. Returns how many.
    fn reap(
        &self,
        lead: &Lead<'_>,
        own: Own,
        min: usize,
        timeout: Option<Duration>,
        jobs: &mut Jobs<'_>,
    ) -> Result<usize, Errno> {
        if self.dead.load(Relaxed) {
            return Err(Errno::EINVAL);
        }
        let min = min.min(TURN);
        let (seen, mut completed) = self.reap_ring(lead, own, jobs);
        let result = if self.ring.is_some() && seen >= min {
            Ok(())
        } else {
            self.reap_by_call(lead, own, min - seen, TURN - seen, timeout, jobs)
                .map(|n| completed += n)
        };
        self.gate.completed(completed);
        match result {
            Err(errno) if completed == 0 => Err(errno),
            _ => Ok(completed),
        }
    }

    /// Takes what is in the ring, if that can be read. Returns how many events there were, and how
    /// many slots they completed.
    #[inline]
    fn reap_ring(&self, _lead: &Lead<'_>, own: Own, jobs: &mut Jobs<'_>) -> (usize, usize) {
        let Some(ring) = &self.ring else {
            return (0, 0);
        };
        // SAFETY: the caller leads, so nobody else reads, and the context isn't destroyed.
        let mut events = unsafe { ring.events(TURN) };
        let seen = events.total();
        let mut others = 0;
        let mut completer = Completer::new(own, jobs);
        for (data, res) in events.by_ref() {
            self.complete(data, res, &mut completer, &mut others);
        }
        completer.end();
        events.release();
        (seen, seen - others)
    }

    #[cold]
    fn reap_by_call(
        &self,
        _lead: &Lead<'_>,
        own: Own,
        min: usize,
        max: usize,
        timeout: Option<Duration>,
        jobs: &mut Jobs<'_>,
    ) -> Result<usize, Errno> {
        let mut events = [MaybeUninit::<IoEvent>::uninit(); TURN];
        let buffer = &mut events[..max];
        // SAFETY: the caller leads, so nobody else reads the ring.
        let n = unsafe { self.kernel.io_getevents(self.ctx, min, buffer, timeout) }?;
        let mut others = 0;
        let mut completer = Completer::new(own, jobs);
        for event in events.iter().take(n) {
            // SAFETY: the kernel stored the first n.
            let event = unsafe { event.assume_init() };
            self.complete(event.data, event.res, &mut completer, &mut others);
        }
        completer.end();
        Ok(n - others)
    }

    /// Completes an event's slot, or counts it among the others, which belong to nothing in flight.
    #[inline(always)]
    fn complete(&self, data: u64, res: i64, completer: &mut Completer<'_, '_>, others: &mut usize) {
        let (generation, index) = untag(data);
        match self.slab.get(index) {
            Some(slot) if slot.expects(generation) => {
                // SAFETY: the caller leads, and this is the request's event: we are its completer.
                unsafe { completer.complete(slot, generation, res) };
            }
            _ => self.ignore(data, others),
        }
    }

    #[cold]
    fn ignore(&self, data: u64, others: &mut usize) {
        *others += 1;
        if data != KICK {
            self.strays.fetch_add(1, Relaxed);
        }
    }

    /// Nothing can be reaped any more. Destroying the context waits for everything in flight, so
    /// when that succeeds the operations end with EIO and their buffers come back.
    fn give_up(&self, _lead: &Lead<'_>, jobs: &mut Jobs<'_>) -> Result<(), Errno> {
        self.gate.close();
        while self.gate.count().inside > 0 {
            self.watch_gate(None);
        }
        self.destroy()?;
        let mut completer = Completer::new(Own::NOTHING, jobs);
        let mut completed = 0;
        for index in 0..self.slab.depth() {
            if let Some(slot) = self.slab.get(index).filter(|slot| slot.is_in_flight()) {
                let res = -i64::from(Errno::EIO.raw());
                // SAFETY: the caller leads, nobody is inside, and the kernel is done with everything:
                // there is no other completer.
                unsafe { completer.complete(slot, slot.generation(), res) };
                completed += 1;
            }
        }
        completer.end();
        self.gate.completed(completed);
        Ok(())
    }

    /// Destroys the context, once. The caller leads, the gate is closed and nobody is inside.
    pub(crate) fn destroy(&self) -> Result<(), Errno> {
        if self.dead.swap(true, Relaxed) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: only the leader reads the ring, and only threads inside the gate submit.
        unsafe { self.kernel.io_destroy(self.ctx) }
    }

    /// Has those that come out of the gate wake whoever waits in line for an idle queue: a refusal
    /// makes it idle without an event.
    pub(crate) fn await_exits(&self) -> bool {
        self.gate.watch();
        true
    }

    /// Waits until no thread is inside the gate, or wakes for no reason.
    pub(crate) fn watch_gate(&self, deadline: Option<Instant>) {
        let arm = |_: &Waker| true;
        self.leadership.watch(deadline, arm, || {
            self.gate.watch();
            self.gate.count().inside == 0
        });
    }
}
