//! Taking completions from the kernel, by whoever has the [role](crate::engine::leader).

#![allow(unsafe_code, reason = "completes slots")]

use std::{
    any::Any,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

use aio_abi::IoEvent;
use aio_sys::Errno;

use crate::{
    engine::{
        TURN,
        complete::{Completer, Own},
        jobs::Jobs,
        keep_first,
        kick::KICK,
        leader::{Goal, Lead, Turn},
        shared::Shared,
        slot::{LOST, untag},
    },
    error::ReapError,
    sync::atomic::Ordering::Relaxed,
};

impl Shared {
    /// Reaps for a caller's own loop: at least `min` completions, unless the time is over before, and
    /// what else is there.
    pub(crate) fn reap_all(
        &self,
        min: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, ReapError> {
        if !self.process.is_current() {
            return Err(ReapError::Forked);
        }
        // A timeout beyond what an Instant can say is none. And without a minimum there is no wait
        // that it could end.
        let deadline = timeout
            .filter(|_| min > 0)
            .and_then(|timeout| Instant::now().checked_add(timeout));
        // As many can have been there at the start. Others may submit meanwhile, without an end.
        let most = min.max(self.slab.depth() as usize);
        let mut total = 0;
        loop {
            match self.reap_turn(min - total.min(min), deadline) {
                Ok(n) => {
                    total += n;
                    let in_time = deadline.is_none_or(|deadline| Instant::now() < deadline);
                    let more_is_there = n == TURN && total < most;
                    if !in_time || total >= min && !more_is_there {
                        return Ok(total);
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the role, waits for an event unless `min` is 0, and completes what came. For a caller's own
    /// loop. It may return without having waited long enough.
    fn reap_turn(&self, min: usize, deadline: Option<Instant>) -> Result<usize, ReapError> {
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
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // There may be nothing in flight: then only the end of the queue ends the wait.
        let look = if min > 0 { self.longest_look() } else { None };
        let timeout = match (left, look) {
            (Some(left), Some(look)) => Some(left.min(look)),
            (left, look) => left.or(look),
        };
        let mut jobs = Jobs::new(self);
        // One at a time: others wait for what comes first, and may be what makes the next one come.
        let result = self.reap(&lead, Own::NOTHING, min.min(1), timeout, &mut jobs);
        lead.pass_on(|goal| self.reached(goal));
        if jobs.run_and_resume() && !self.process.is_current() {
            return Err(ReapError::Forked);
        }
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

    /// Takes all completions that are there, unless another thread leads. It doesn't wait, and it
    /// makes system calls only where the ring can't be read. Returns the first panic of the foreign
    /// code that it ran.
    #[cold]
    #[must_use]
    pub(crate) fn take_completed(&self) -> Option<Box<dyn Any + Send>> {
        let mut first_panic = None;
        // As many can have been there at the start. Others may submit meanwhile, without an end.
        let most = self.slab.depth() as usize;
        let mut total = 0;
        while total < most && self.process.is_current() {
            let Some(lead) = self.leadership.try_lead() else {
                break;
            };
            let mut jobs = Jobs::new(self);
            let taken = self.reap(&lead, Own::NOTHING, 0, Some(Duration::ZERO), &mut jobs);
            lead.pass_on(|goal| self.reached(goal));
            if let Some(panic) = jobs.run() {
                keep_first(&mut first_panic, panic);
            }
            match taken {
                Ok(n @ 1..) => total += n,
                // What io_getevents answers is for those to hear who wait for something.
                Ok(0) | Err(_) => break,
            }
        }
        first_panic
    }

    /// Waits for events and completes their slots, at most [`TURN`] of them. Returns how many.
    pub(crate) fn reap(
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
    /// when that succeeds the operations end with EIO and their buffers come back. Otherwise they end
    /// as [`LOST`].
    pub(crate) fn give_up(&self, lead: &Lead<'_>, jobs: &mut Jobs<'_>) -> Result<(), Errno> {
        self.gate.close();
        while self.gate.count().inside > 0 {
            self.watch_gate(None);
        }
        let destroyed = self.destroy();
        let res = match destroyed {
            Ok(()) => -i64::from(Errno::EIO.raw()),
            Err(_) => LOST,
        };
        // SAFETY: the caller leads, nobody is inside, and the kernel is done with everything, or the
        // result is LOST.
        unsafe { self.complete_all(lead, res, jobs) };
        destroyed
    }

    /// Completes everything in flight with this result. What is [`LOST`] stays counted as in flight.
    ///
    /// # Safety
    ///
    /// The caller leads, the gate is closed and nobody is inside. The context is destroyed, or the
    /// result is `LOST` and no completion is reaped any more.
    pub(crate) unsafe fn complete_all(&self, _lead: &Lead<'_>, res: i64, jobs: &mut Jobs<'_>) {
        let mut completer = Completer::new(Own::NOTHING, jobs);
        let mut completed = 0;
        for index in 0..self.slab.depth() {
            if let Some(slot) = self.slab.get(index).filter(|slot| slot.is_in_flight()) {
                // SAFETY: the caller leads and there will be no event: there is no other completer.
                unsafe { completer.complete(slot, slot.generation(), res) };
                completed += 1;
            }
        }
        completer.end();
        if res != LOST {
            self.gate.completed(completed);
        }
    }

    /// Destroys the context, once. The caller leads, the gate is closed and nobody is inside.
    pub(crate) fn destroy(&self) -> Result<(), Errno> {
        if self.dead.swap(true, Relaxed) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: only the leader reads the ring, and only threads inside the gate submit.
        unsafe { self.kernel.io_destroy(self.ctx) }
    }
}
