//! Waiting until something is reached: as the leader, who reaps, or in line behind one.

#![allow(unsafe_code, reason = "looks into inboxes")]

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use aio_sys::Errno;

use crate::engine::{
    complete::Own,
    jobs::Jobs,
    leader::{Goal, Lead, Seat, Turn},
    shared::Shared,
    slot::Slot,
};

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
}

/// Why a goal won't be reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Foreign code forked while this thread ran it, and this is the child.
    Forked,
    /// Nothing can be reaped, and the context can't be destroyed. This is what `io_getevents` said.
    Broken(Errno),
}

/// How a waiter is told that its goal is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm<'a> {
    /// By this waker.
    Waker(&'a Waker),
    /// By a [kick](crate::engine::kick): its thread leads, and is about to wait in the kernel. Only a
    /// goal that another thread reaches without an event needs that.
    Kick,
}

/// A wait under way.
struct Wait<'a, R, A> {
    shared: &'a Shared,
    goal: Goal,
    deadline: Option<Instant>,
    reached: R,
    arm: A,
    /// The deadline is over, and the ring was looked at since.
    looked: bool,
}

impl Shared {
    /// Whether a goal is reached. The caller leads.
    pub(crate) fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Done(index) => self.slab.get(index).is_none_or(Slot::is_done),
            // SAFETY: the follower that waits for it has the lane, and thereby the inbox.
            Goal::News(news) => unsafe { news.have_come() },
            Goal::Idle => self.gate.count_at_last().is_idle(),
            // Only the one who waits knows.
            Goal::Room | Goal::Role | Goal::Close => false,
        }
    }

    /// Waits until `reached` says so, reaping if nobody else does.
    ///
    /// `arm` stores an alarm that goes off when the goal is reached, or returns false when it is; it is
    /// for goals that have one.
    ///
    /// # Errors
    ///
    /// Why the goal won't be reached any more. Operations that are lost are
    /// [done](crate::engine::slot::LOST), so that a wait for one of them ends well.
    pub(crate) fn wait_for(
        &self,
        goal: Goal,
        deadline: Option<Instant>,
        reached: impl Fn() -> bool,
        arm: impl Fn(Alarm<'_>) -> bool,
    ) -> Result<Waited, Unreachable> {
        let mut wait = Wait {
            shared: self,
            goal,
            deadline,
            reached,
            arm,
            looked: false,
        };
        loop {
            if (wait.reached)() {
                return Ok(Waited::Reached);
            }
            let lead = match self.leadership.join(goal) {
                Turn::Lead(lead) => lead,
                Turn::Follow(seat) => match wait.follow(seat) {
                    Ok(Some(lead)) => lead,
                    Ok(None) => continue,
                    Err(over) => return Ok(over),
                },
            };
            if let Some(over) = wait.lead(lead)? {
                return Ok(over);
            }
        }
    }

    /// Has those that come out of the gate wake whoever waits in line for an idle queue: a refusal
    /// makes it idle without an event.
    pub(crate) fn await_exits(&self) -> bool {
        self.gate.watch();
        true
    }

    /// Waits until no thread is inside the gate. May return early (a spurious wakeup).
    pub(crate) fn watch_gate(&self, deadline: Option<Instant>) {
        let arm = |_: &Waker| true;
        self.leadership.watch(deadline, arm, || {
            self.gate.watch();
            self.gate.count().inside == 0
        });
    }
}

impl<R: Fn() -> bool, A: Fn(Alarm<'_>) -> bool> Wait<'_, R, A> {
    /// Waits in line, and gets up: with the role, if it was handed to this thread.
    ///
    /// # Errors
    ///
    /// What the wait came to, when the deadline is over.
    fn follow<'l>(&self, seat: Seat<'l>) -> Result<Option<Lead<'l>>, Waited> {
        let mut in_time = true;
        if (self.arm)(Alarm::Waker(&seat.waker())) {
            while in_time && !(self.reached)() && !seat.is_heir() {
                in_time = seat.park(self.deadline);
                if self.needs_more_than_an_event() {
                    // This thread was woken because the queue was idle, or because there is something
                    // to reap again. That may be over by now, so the wait starts afresh.
                    break;
                }
            }
        }
        let lead = seat.leave();
        if in_time || (self.reached)() {
            return Ok(lead);
        }
        if let Some(lead) = lead {
            self.pass_on(lead);
        }
        Err(Waited::TimedOut)
    }

    /// Does one turn in the role. Returns what the wait came to, if it is over.
    fn lead(&mut self, lead: Lead<'_>) -> Result<Option<Waited>, Unreachable> {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // The ring is looked at once even if the deadline was over from the start.
        let late = left == Some(Duration::ZERO);
        let done = (self.reached)();
        if done || late && self.looked {
            self.pass_on(lead);
            return Ok(Some(if done || (self.reached)() {
                Waited::Reached
            } else {
                Waited::TimedOut
            }));
        }
        self.looked |= late;
        if self.needs_more_than_an_event() {
            // Whether there will be an event is not known before everybody has come out, and what is
            // reached by other means than an event doesn't end a wait in the kernel.
            let count = self.shared.gate.count();
            if count.inside > 0 || count.in_flight == 0 {
                self.pass_on(lead);
                self.wait_outside(count.inside > 0);
                return Ok(None);
            }
        }
        if self.goal == Goal::Room && !(self.arm)(Alarm::Kick) {
            self.pass_on(lead);
            return Ok(None);
        }
        self.reap(lead, left)
    }

    /// Waits for an event in the kernel, and completes what came.
    fn reap(&self, lead: Lead<'_>, left: Option<Duration>) -> Result<Option<Waited>, Unreachable> {
        let shared = self.shared;
        let timeout = match self.longest_look() {
            Some(look) => Some(left.map_or(look, |left| left.min(look))),
            None => left,
        };
        let mut jobs = Jobs::new(shared);
        let failed = match shared.reap(&lead, self.own(), 1, timeout, &mut jobs) {
            Ok(_) | Err(Errno::EINTR) => None,
            Err(errno) => Some((errno, shared.give_up(&lead, &mut jobs))),
        };
        self.pass_on(lead);
        if failed.is_some() {
            // Before the jobs, which may panic. Nobody has to be kicked: this thread was the leader.
            shared.line.close(&shared.slab);
        }
        if jobs.run_and_resume() && !shared.process.is_current() {
            return Err(Unreachable::Forked);
        }
        match failed {
            Some((errno, Err(_))) if !(self.reached)() => Err(Unreachable::Broken(errno)),
            _ => Ok(None),
        }
    }

    /// Waits for what may come while nothing is in flight, or isn't known to be.
    fn wait_outside(&self, somebody_is_inside: bool) {
        let shared = self.shared;
        if somebody_is_inside {
            shared.watch_gate(self.deadline);
        } else if self.goal == Goal::Room {
            // A slot is given by whoever takes a result. And whoever submits may count on this thread
            // to reap.
            let arm = |waker: &Waker| (self.arm)(Alarm::Waker(waker));
            shared.leadership.watch(self.deadline, arm, || {
                shared.gate.watch();
                let count = shared.gate.count();
                count.inside > 0 || count.in_flight > 0
            });
        }
    }

    fn pass_on(&self, lead: Lead<'_>) {
        lead.pass_on(|goal| self.shared.reached(goal));
    }

    /// Whether the goal may be reached without an event.
    fn needs_more_than_an_event(&self) -> bool {
        matches!(self.goal, Goal::Idle | Goal::Room)
    }

    /// What is the waiting thread's own: whoever waits for an operation has its handle, or lane.
    fn own(&self) -> Own {
        match self.goal {
            Goal::Done(index) => self
                .shared
                .slab
                .get(index)
                .map_or(Own::NOTHING, |slot| Own::slot(slot)),
            Goal::News(news) => Own::lane(news.inbox()),
            Goal::Idle | Goal::Room | Goal::Role | Goal::Close => Own::NOTHING,
        }
    }

    /// How long to wait in the kernel at a time, if there may be no event at all.
    fn longest_look(&self) -> Option<Duration> {
        let event_is_certain = match self.goal {
            // A poll may never be ready.
            Goal::Done(index) => {
                let slot = self.shared.slab.get(index);
                !slot.is_some_and(Slot::is_cancellable)
            }
            Goal::News(_) => true,
            Goal::Idle | Goal::Room | Goal::Role | Goal::Close => false,
        };
        if event_is_certain {
            None
        } else {
            self.shared.longest_look()
        }
    }
}
