//! The end of a queue: draining it, closing it, and destroying its context.

#![allow(unsafe_code, reason = "completes what io_destroy ends")]

use std::{
    mem,
    panic::resume_unwind,
    time::{Duration, Instant},
};

use aio_sys::Errno;

use crate::{
    engine::{
        complete::Own,
        jobs::Jobs,
        keep_first,
        leader::{Goal, Joined, Lead},
        shared::Shared,
        slot::LOST,
        wait::Unreachable,
    },
    error::CloseError,
    sync::atomic::Ordering::Relaxed,
};

impl Shared {
    /// Waits until nothing is in flight.
    pub(crate) fn drain(&self) -> Result<(), CloseError> {
        let idle = || self.gate.count().is_idle();
        match self.wait_for(Goal::Idle, None, idle, |_| self.await_exits()) {
            Ok(_) => Ok(()),
            Err(Unreachable::Forked) => Err(CloseError::Forked),
            Err(Unreachable::Broken(errno)) => Err(CloseError::Reap(errno)),
        }
    }

    /// Closes the gate, waits until nothing is in flight, and destroys the context.
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        if !self.gate.close() {
            return Err(CloseError::Closed);
        }
        self.line.close(&self.slab, &self.process);
        // The wakers of the tasks in the line have run, and may have forked.
        if !self.process.is_current() {
            return Err(CloseError::Forked);
        }
        // A request can't be cancelled before its `io_submit` returns. Its thread is inside until
        // then.
        while self.gate.count().inside > 0 {
            self.watch_gate(None);
        }
        // MECHANISM: cancelling before closing
        // `self.cancel_all()` becomes `true`
        let all_cancelled = self.cancel_all();
        let mut waits_ended = false;
        let mut panic = None;
        let result = loop {
            let lead = self.take_over();
            if !mem::replace(&mut waits_ended, true) && !self.dead.load(Relaxed) {
                // SAFETY: only the leader destroys the context, and that is this thread. `dead`
                // says that it wasn't destroyed.
                unsafe { self.kernel.end_waits(self.ctx) };
            }
            let mut jobs = Jobs::new(self);
            let result = self.close_turn(&lead, all_cancelled, &mut jobs);
            lead.pass_on(|goal| self.reached(goal));
            if let Some(another) = jobs.run() {
                keep_first(&mut panic, another);
            }
            // Wakers and destructors have run, and may have forked.
            if !self.process.is_current() {
                break Err(CloseError::Forked);
            }
            if let Some(result) = result {
                break result;
            }
        };
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Does one turn: reaps, or destroys the context if nothing is in flight. Returns the result of
    /// closing, if this ended it.
    fn close_turn(
        &self,
        lead: &Lead<'_>,
        all_cancelled: bool,
        jobs: &mut Jobs<'_>,
    ) -> Option<Result<(), CloseError>> {
        if !all_cancelled && self.only_polls_are_in_flight() {
            // Completions of polls may be there already. An error shows again below.
            let _ = self.reap(lead, Own::NOTHING, 0, Some(Duration::ZERO), jobs);
        }
        // A thread that finds the gate closed leaves at once, but it is inside until then.
        let in_flight = loop {
            let count = self.gate.count();
            if count.inside == 0 {
                break count.in_flight;
            }
            self.watch_gate(None);
        };
        if self.dead.load(Relaxed) {
            // A leader gave up: the context is destroyed, or couldn't be.
            return Some(match in_flight {
                0 => Ok(()),
                _ => Err(CloseError::Reap(Errno::EINVAL)),
            });
        }
        if in_flight == 0 || !all_cancelled && self.only_polls_are_in_flight() {
            let destroyed = self.destroy();
            // io_destroy cancels polls. A result of 0 says that a poll was cancelled.
            let res = if destroyed.is_ok() { 0 } else { LOST };
            // SAFETY: this thread leads, the gate is closed and nobody is inside. Either the
            // context is destroyed, or the result is LOST and `dead` keeps everybody from reaping.
            // MECHANISM: the end of operations that io_destroy has ended
            // `self.complete_all(lead, res, jobs)` becomes `()`
            unsafe { self.complete_all(lead, res, jobs) };
            return Some(destroyed.map_err(CloseError::Destroy));
        }
        match self.reap(lead, Own::NOTHING, 1, None, jobs) {
            Ok(_) | Err(Errno::EINTR) => None,
            Err(errno) => match self.give_up(lead, jobs) {
                Ok(()) => Some(Ok(())),
                Err(_) => Some(Err(CloseError::Reap(errno))),
            },
        }
    }

    /// Takes the role over from the leader. The gate is closed, so the leader either leaves by
    /// itself, or waits in the kernel and has to be kicked.
    fn take_over(&self) -> Lead<'_> {
        // MECHANISM: the priority of the thread that closes
        // `Goal::Close` becomes `Goal::Role`
        let mut seat = match self.leadership.join(Goal::Close) {
            Joined::Lead(lead) => return lead,
            Joined::Follow(seat) => seat,
        };
        let mut kicked = false;
        loop {
            // MECHANISM: the kick
            // `kicked || self.kick()` becomes `true`
            kicked = kicked || self.kick();
            // If the kick was refused, it is tried again soon. The leader also returns from the
            // kernel by itself from time to time.
            let deadline = (!kicked).then(|| Instant::now() + Duration::from_millis(10));
            seat.park(deadline);
            if seat.is_heir() {
                match seat.leave() {
                    Some(lead) => return lead,
                    None => match self.leadership.join(Goal::Close) {
                        Joined::Lead(lead) => return lead,
                        Joined::Follow(again) => seat = again,
                    },
                }
            }
        }
    }
}
