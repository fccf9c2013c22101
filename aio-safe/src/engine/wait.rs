//! Waiting for a goal: as the leader, which reaps, or as a follower.

#![allow(unsafe_code, reason = "looks into inboxes")]

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use aio_sys::Errno;

use crate::engine::{
    complete::Own,
    jobs::Jobs,
    leader::{Goal, Joined, Lead, Seat},
    shared::Shared,
    slot::Slot,
};

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
}

/// Why a goal can't be reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Foreign code that this thread ran has forked, and this is the child.
    Forked,
    /// Nothing can be reaped, and the context couldn't be destroyed. The errno is from
    /// `io_getevents`.
    Broken(Errno),
}

/// How a waiting thread is told that its goal is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm<'a> {
    /// By this waker.
    Waker(&'a Waker),
    /// By a [kick](crate::engine::kick): the thread leads, and is about to wait in the kernel. Only
    /// for goals that may be reached without an event.
    Kick,
}

/// A wait that is under way.
struct Wait<'a, R, A> {
    shared: &'a Shared,
    goal: Goal,
    deadline: Option<Instant>,
    reached: R,
    /// Stores an alarm: see [`Shared::wait_for`].
    arm: A,
    /// The ring was looked at after the deadline.
    looked: bool,
}

impl Shared {
    /// Whether a follower's goal is reached. The caller leads.
    pub(crate) fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Done(index) => self.slab.get(index).is_none_or(Slot::is_done),
            // SAFETY: the follower that waits for this has the lane, so the lane isn't dropped and
            // its inbox isn't freed. It leaves the followers before it returns, and the caller
            // looks at followers while it holds the lock of their list.
            Goal::News(news) => unsafe { news.have_come() },
            Goal::Idle => self.gate.count_at_last().is_idle(),
            // Only the follower can tell whether these are reached.
            Goal::Slot | Goal::Role | Goal::Close => false,
        }
    }

    /// Waits until `reached` returns true. Reaps meanwhile, unless another thread does.
    ///
    /// `arm` stores an alarm that goes off when the goal is reached. It returns false if the goal
    /// is reached already. A goal may have no alarm: then `arm` stores none, and returns true.
    ///
    /// # Errors
    ///
    /// The reason why the goal can't be reached any more. A [lost](crate::engine::slot::LOST)
    /// operation is done, so a wait for it ends without an error.
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
                Joined::Lead(lead) => lead,
                Joined::Follow(seat) => match wait.follow(seat) {
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

    /// Makes the last thread that leaves the gate wake the followers that wait for an idle queue.
    /// If the kernel refused its requests, the queue becomes idle without an event.
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
    /// Waits as a follower. Returns the role if this thread was made the leader.
    ///
    /// # Errors
    ///
    /// [`Waited::TimedOut`], if the deadline is over. Then this thread has no role.
    fn follow<'l>(&self, seat: Seat<'l>) -> Result<Option<Lead<'l>>, Waited> {
        let mut in_time = true;
        if (self.arm)(Alarm::Waker(&seat.waker())) {
            while in_time && !(self.reached)() && !seat.is_heir() {
                in_time = seat.park(self.deadline);
                if self.needs_more_than_an_event() {
                    // A leader that finds the queue idle removes the followers that wait for an
                    // idle queue. The queue may be busy again by now, so the wait begins anew.
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

    /// Does one turn as the leader. Returns the result of the wait if the wait is over.
    fn lead(&mut self, lead: Lead<'_>) -> Result<Option<Waited>, Unreachable> {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // The ring is looked at once, even if the deadline was over from the start.
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
            // While a thread is inside the gate, it isn't known whether an event will come. If
            // nothing is in flight, no event will come, but the goal may be reached without one.
            let count = self.shared.gate.count();
            if count.inside > 0 || count.in_flight == 0 {
                self.pass_on(lead);
                self.wait_outside(count.inside > 0);
                return Ok(None);
            }
        }
        if self.goal == Goal::Slot && !(self.arm)(Alarm::Kick) {
            self.pass_on(lead);
            return Ok(None);
        }
        self.reap(lead, left)
    }

    /// Waits for an event in the kernel, and completes what came.
    fn reap(&self, lead: Lead<'_>, left: Option<Duration>) -> Result<Option<Waited>, Unreachable> {
        let shared = self.shared;
        let timeout = match self.longest_wait() {
            Some(longest) => Some(left.map_or(longest, |left| left.min(longest))),
            None => left,
        };
        let mut jobs = Jobs::new(shared);
        let failed = match shared.reap(&lead, self.own(), 1, timeout, &mut jobs) {
            Ok(_) | Err(Errno::EINTR) => None,
            Err(errno) => Some((errno, shared.give_up(&lead, &mut jobs))),
        };
        self.pass_on(lead);
        if failed.is_some() {
            // This comes before the jobs, which may panic. No thread has to be kicked, because this
            // thread was the leader.
            shared.line.close(&shared.slab, &shared.process);
        }
        let foreign_code_has_run = jobs.run_and_resume() || failed.is_some();
        if foreign_code_has_run && !shared.process.is_current() {
            return Err(Unreachable::Forked);
        }
        match failed {
            Some((errno, Err(_))) if !(self.reached)() => Err(Unreachable::Broken(errno)),
            _ => Ok(None),
        }
    }

    /// Waits without the role, while nothing is known to be in flight.
    fn wait_outside(&self, somebody_is_inside: bool) {
        let shared = self.shared;
        if somebody_is_inside {
            shared.watch_gate(self.deadline);
        } else if self.goal == Goal::Slot {
            // A thread that takes a result gives its slot to the line, which ends the wait. A
            // thread that submits ends it too, because it may rely on this thread to reap.
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
        matches!(self.goal, Goal::Idle | Goal::Slot)
    }

    /// The slot or the inbox that the waiting thread has: that of its handle or of its lane.
    fn own(&self) -> Own {
        match self.goal {
            Goal::Done(index) => self
                .shared
                .slab
                .get(index)
                .map_or(Own::NOTHING, |slot| Own::slot(slot)),
            Goal::News(news) => Own::lane(news.inbox()),
            Goal::Idle | Goal::Slot | Goal::Role | Goal::Close => Own::NOTHING,
        }
    }

    /// How long to wait in the kernel at a time, if it isn't certain that an event comes. `None` is
    /// without a limit.
    fn longest_wait(&self) -> Option<Duration> {
        let event_is_certain = match self.goal {
            // The descriptor of a poll may never be ready.
            Goal::Done(index) => {
                let slot = self.shared.slab.get(index);
                !slot.is_some_and(Slot::is_cancellable)
            }
            Goal::News(_) => true,
            Goal::Idle | Goal::Slot | Goal::Role | Goal::Close => false,
        };
        if event_is_certain {
            None
        } else {
            self.shared.longest_wait()
        }
    }
}
