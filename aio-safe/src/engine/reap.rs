//! Reaping: the [leader](crate::engine::leader) takes completions from the ring, or by
//! `io_getevents`.

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
        leader::{Goal, Joined, Lead},
        shared::Shared,
        slot::{LOST, Slot, untag},
    },
    error::ReapError,
    kernel::{Ring, kick::KICK},
    sync::atomic::Ordering::Relaxed,
};

impl Shared {
    /// Reaps at least `min` completions, and then the others that are there. Reaps fewer if the
    /// time is over before. For a program's own loop.
    pub(crate) fn reap_all(
        &self,
        min: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, ReapError> {
        if !self.process.is_current() {
            return Err(ReapError::Forked);
        }
        // A timeout that an Instant can't represent counts as no timeout. Without a minimum there
        // is no wait that it could end.
        let deadline = timeout
            .filter(|_| min > 0)
            .and_then(|timeout| Instant::now().checked_add(timeout));
        // At most this many were there at the start. Without a limit the loop might never end,
        // because other threads submit meanwhile.
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
                // In a child, what was reaped before the fork was the parent's.
                Err(error) if total > 0 && error != ReapError::Forked => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    /// Does one turn: takes the role or waits for it, waits for an event, and completes the events
    /// that came. If `min` is 0, it waits for neither. May return before the deadline with fewer
    /// completions than `min`: after a kick, or because it waits for a limited time only.
    pub(crate) fn reap_turn(
        &self,
        min: usize,
        deadline: Option<Instant>,
    ) -> Result<usize, ReapError> {
        let joined = if min == 0 {
            match self.leadership.lead_or_ask() {
                Some(lead) => Joined::Lead(lead),
                None => return Ok(0),
            }
        } else {
            self.leadership.join(Goal::Role)
        };
        let lead = match joined {
            Joined::Lead(lead) => lead,
            Joined::Follow(seat) => {
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
        // Nothing may be in flight, and then no event ends the wait.
        let longest = if min > 0 { self.longest_wait() } else { None };
        let timeout = match (left, longest) {
            (Some(left), Some(longest)) => Some(left.min(longest)),
            (left, longest) => left.or(longest),
        };
        let mut jobs = Jobs::new(self);
        // It waits for one event at a time. Another thread may need that event before it submits
        // the next request.
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

    /// Takes all completions that are there, unless another thread leads. It doesn't wait, and it
    /// makes system calls only where the ring can't be read. Returns the first panic of the foreign
    /// code that it ran.
    #[cold]
    #[must_use]
    pub(crate) fn take_completed(&self) -> Option<Box<dyn Any + Send>> {
        let mut first_panic = None;
        // At most this many were there at the start. Without a limit the loop might never end,
        // because other threads submit meanwhile.
        let most = self.slab.depth() as usize;
        let mut total = 0;
        while total < most && self.process.is_current() {
            let Some(lead) = self.leadership.lead_or_ask() else {
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
                // An error is left to the threads that wait: their own call returns it.
                Ok(0) | Err(_) => break,
            }
        }
        first_panic
    }

    /// Waits for `min` events, completes their slots, and returns how many. Takes at most [`TURN`]
    /// events.
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
            let min = min.saturating_sub(seen);
            self.reap_by_call(lead, own, min, TURN - seen, timeout, jobs)
                .map(|(seen_by_call, n)| {
                    completed += n;
                    let left = TURN - seen - seen_by_call;
                    completed += self
                        .take_events(self.second_ring.as_ref(), own, left, jobs)
                        .1;
                })
        };
        self.gate.completed(completed);
        match result {
            Err(errno) if completed == 0 => Err(errno),
            _ => Ok(completed),
        }
    }

    /// Takes the events in the ring, if it can be read. Returns how many there were, and how many
    /// slots they completed.
    #[inline]
    pub(crate) fn reap_ring(
        &self,
        _lead: &Lead<'_>,
        own: Own,
        jobs: &mut Jobs<'_>,
    ) -> (usize, usize) {
        let most = match self.second_ring {
            None => TURN,
            Some(_) => TURN / 2,
        };
        let (seen, completed) = self.take_events(self.ring.as_ref(), own, most, jobs);
        if self.second_ring.is_none() {
            return (seen, completed);
        }
        self.reap_both_rings(own, seen, completed, jobs)
    }

    /// Goes on after half a turn's events of the first ring: the second ring gets its turn, however
    /// many events are in the first.
    #[cold]
    fn reap_both_rings(
        &self,
        own: Own,
        mut seen: usize,
        mut completed: usize,
        jobs: &mut Jobs<'_>,
    ) -> (usize, usize) {
        for ring in [&self.second_ring, &self.ring] {
            let (more, more_completed) = self.take_events(ring.as_ref(), own, TURN - seen, jobs);
            seen += more;
            completed += more_completed;
        }
        (seen, completed)
    }

    /// Takes up to `max` events in a ring, if there is one. The caller leads. Returns how many
    /// there were, and how many slots they completed.
    #[inline(always)]
    fn take_events(
        &self,
        ring: Option<&Ring>,
        own: Own,
        max: usize,
        jobs: &mut Jobs<'_>,
    ) -> (usize, usize) {
        let Some(ring) = ring else {
            return (0, 0);
        };
        // SAFETY: the caller leads, so nobody else reads the ring. Only the leader destroys the
        // context, and it wasn't destroyed: the callers have looked at `dead`.
        let mut events = unsafe { ring.events(max) };
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
    ) -> Result<(usize, usize), Errno> {
        let mut events = [MaybeUninit::<IoEvent>::uninit(); TURN];
        let buffer = &mut events[..max];
        // SAFETY: the caller leads, so nobody else takes events of this context.
        let n = unsafe { self.kernel.io_getevents(self.ctx, min, buffer, timeout) }?;
        let mut others = 0;
        let mut completer = Completer::new(own, jobs);
        for event in events.iter().take(n) {
            // SAFETY: `io_getevents` returned n, so the first n events are initialised, which is a
            // promise of `Kernel`.
            let event = unsafe { event.assume_init() };
            self.complete(event.data, event.res, &mut completer, &mut others);
        }
        completer.end();
        if n > others {
            self.counters.by_call.add(n - others);
        }
        Ok((n, n - others))
    }

    /// Completes an event's slot. Counts the event among the `others` if it matches no request in
    /// flight.
    #[inline(always)]
    fn complete(&self, data: u64, res: i64, completer: &mut Completer<'_, '_>, others: &mut usize) {
        let (generation, index) = untag(data);
        match self.slab.get(index) {
            Some(slot) if slot.expects(generation) => {
                // SAFETY: the caller leads, and took the event of this request, so it is the
                // completer. The slot expects this generation.
                let Some(res) = (unsafe { self.final_result(slot, res) }) else {
                    *others += 1;
                    return;
                };
                // SAFETY: the caller leads, and took the event of this request, so it is the
                // completer. The slot expects this generation. `own` is what the caller of this
                // turn owns.
                unsafe { completer.complete(slot, generation, res) };
            }
            _ => self.ignore(data, others),
        }
    }

    /// The result that a slot's event gives it. `None`: the request was submitted again.
    ///
    /// # Safety
    ///
    /// The caller is the completer of the slot, which expects this event.
    #[inline(always)]
    unsafe fn final_result(&self, slot: &Slot, res: i64) -> Option<i64> {
        // SAFETY: the caller is the completer of the slot, which expects this event.
        if res < 0 && unsafe { slot.submit_again(res) } {
            return self.wait_elsewhere(slot);
        }
        Some(res)
    }

    /// Submits a request that can't be carried out without waiting. Returns its result if the
    /// kernel refuses it.
    #[cold]
    fn wait_elsewhere(&self, slot: &Slot) -> Option<i64> {
        // SAFETY: the caller leads, so the context lives. The event of this request was given out,
        // and its slot isn't completed: so nobody uses the iocb, and the payload stays in the slot
        // until the next event. The slot keeps the file open.
        match unsafe { self.kernel.io_submit_and_wait(self.ctx, slot.iocb()) } {
            Ok(()) => None,
            Err(errno) => Some(-i64::from(errno.raw())),
        }
    }

    /// Counts an event that matches no request in flight: a kick, or a stray.
    #[cold]
    fn ignore(&self, data: u64, others: &mut usize) {
        *others += 1;
        if data != KICK {
            self.counters.strays.add(1);
        }
    }

    /// Ends all operations, because nothing can be reaped any more. Destroying the context waits
    /// for everything in flight: if it succeeds, the operations end with EIO and their buffers come
    /// back. Otherwise they are [`LOST`].
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
        // SAFETY: the caller leads, the gate is closed and nobody is inside. Either the context is
        // destroyed, or the result is LOST and `dead` keeps everybody from reaping.
        unsafe { self.complete_all(lead, res, jobs) };
        destroyed
    }

    /// Completes everything in flight with this result. [`LOST`] operations still count as in
    /// flight.
    ///
    /// # Safety
    ///
    /// The caller leads, the gate is closed and nobody is inside. The context is destroyed, or the
    /// result is `LOST` and nothing is reaped any more.
    pub(crate) unsafe fn complete_all(&self, _lead: &Lead<'_>, res: i64, jobs: &mut Jobs<'_>) {
        let mut completer = Completer::new(Own::NOTHING, jobs);
        let mut completed = 0;
        for index in 0..self.slab.depth() {
            if let Some(slot) = self.slab.get(index).filter(|slot| slot.is_in_flight()) {
                // SAFETY: the caller leads and no event will come, so it is the completer of this
                // slot, with the slot's own generation. Each submitter has left the gate, which
                // happens before the count that found nobody inside. `own` is nothing.
                unsafe { completer.complete(slot, slot.generation(), res) };
                completed += 1;
            }
        }
        completer.end();
        if res != LOST {
            self.counters.by_call.add(completed);
            self.gate.completed(completed);
        }
    }

    /// Destroys the context, once. The caller leads, the gate is closed and nobody is inside.
    pub(crate) fn destroy(&self) -> Result<(), Errno> {
        // MECHANISM: the mark of a dead context
        // `self.dead.swap(true, Relaxed)` becomes `self.dead.load(Relaxed)`
        if self.dead.swap(true, Relaxed) {
            return Err(Errno::EINVAL);
        }
        // A thread may be inside to kick. A thread that enters later sees that the context is dead.
        while self.gate.count_at_last().inside > 0 {
            self.watch_gate(None);
        }
        // SAFETY: only the leader reads the ring, and looks at `dead` before. The caller leads, and
        // has set `dead`. Only threads inside the gate submit. All have left, and one that enters
        // now to kick sees `dead`. The gate is closed, so no other thread submits.
        unsafe { self.kernel.io_destroy(self.ctx) }
    }
}
