//! Waiting for a place in a full queue, first come first served.
//!
//! While somebody waits, the [slab](crate::engine::slab)'s words carry a mark, and whoever frees a slot hands
//! it to the first in line instead: nobody who comes later gets in before, and nobody is woken in vain.

#![allow(unsafe_code, reason = "owns slots")]

use std::{
    collections::VecDeque,
    fmt,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::{
    Op, Payload, Pending, Queue, SubmitError, SubmitErrorKind,
    engine::{leader::Goal, reap::Waited, slab::Slab},
    sync::{Mutex, lock},
};

/// The line of those who wait.
pub(crate) struct Room {
    line: Mutex<VecDeque<Arc<Ticket>>>,
}

/// One who waits. It outlives the queue's shared part where it has to.
pub(crate) struct Ticket(Mutex<State>);

enum State {
    Waiting(Option<Waker>),
    /// The slot is the waiter's.
    Given(u32),
    Closed,
    /// The waiter went, or took what it was given.
    Gone,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            line: Mutex::new(VecDeque::new()),
        }
    }

    /// Hands a slot that is the caller's, retired and empty, to the first in line. False when nobody
    /// waits any more: then the mark is gone.
    ///
    /// After true, what keeps the shared part may be gone too.
    pub(crate) fn give(&self, index: u32, slab: &Slab) -> bool {
        loop {
            let first = {
                let mut line = lock(&self.line);
                let first = line.pop_front();
                if line.is_empty() {
                    slab.unmark_waited();
                }
                first
            };
            let Some(ticket) = first else { return false };
            if ticket.settle(State::Given(index)) {
                return true;
            }
        }
    }

    /// Claims a slot, or gets in line. The gate is closed before [`close`](Self::close) is called.
    fn join(&self, queue: &Queue) -> Result<Result<u32, Arc<Ticket>>, SubmitErrorKind> {
        let slab = &queue.shared().slab;
        let mut line = lock(&self.line);
        if queue.shared().gate.is_closed() {
            return Err(SubmitErrorKind::Closed);
        }
        slab.mark_waited();
        // One may have been freed before the mark was there.
        if let Some(index) = slab.claim(1).next() {
            if line.is_empty() {
                slab.unmark_waited();
            }
            return Ok(Ok(index));
        }
        let ticket = Arc::new(Ticket(Mutex::new(State::Waiting(None))));
        line.push_back(Arc::clone(&ticket));
        Ok(Err(ticket))
    }

    /// Takes one who has given up out of the line.
    fn leave(&self, ticket: &Arc<Ticket>, slab: &Slab) {
        let mut line = lock(&self.line);
        line.retain(|other| !Arc::ptr_eq(other, ticket));
        if line.is_empty() {
            slab.unmark_waited();
        }
    }

    /// Sends everybody away.
    pub(crate) fn close(&self, slab: &Slab) {
        let line = {
            let mut line = lock(&self.line);
            slab.unmark_waited();
            std::mem::take(&mut *line)
        };
        for ticket in line {
            ticket.settle(State::Closed);
        }
    }
}

impl Ticket {
    /// Ends the wait. False when the waiter is gone.
    fn settle(&self, end: State) -> bool {
        let before = {
            let mut state = lock(&self.0);
            if !matches!(*state, State::Waiting(_)) {
                return false;
            }
            std::mem::replace(&mut *state, end)
        };
        if let State::Waiting(Some(waker)) = before {
            // What it is there for is done; a panic in here is the waker's own affair. Leaked, as it
            // may panic in its own destructor.
            let wake = std::panic::AssertUnwindSafe(|| waker.wake());
            std::mem::forget(std::panic::catch_unwind(wake));
        }
        true
    }

    /// Stores a waker. False when the wait is over.
    fn register(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = lock(&self.0);
        let State::Waiting(stored) = &mut *state else {
            return false;
        };
        let before = stored.replace(waker);
        drop(state);
        drop(before);
        true
    }

    /// Drops the waker that is stored, if there is one.
    fn unregister(&self) {
        let before = match &mut *lock(&self.0) {
            State::Waiting(stored) => stored.take(),
            _ => None,
        };
        drop(before);
    }

    fn is_waiting(&self) -> bool {
        matches!(*lock(&self.0), State::Waiting(_))
    }

    /// Takes what the wait came to; a wait that isn't over is given up.
    fn take(&self) -> Option<Result<u32, SubmitErrorKind>> {
        let before = std::mem::replace(&mut *lock(&self.0), State::Gone);
        match before {
            State::Given(index) => Some(Ok(index)),
            State::Closed => Some(Err(SubmitErrorKind::Closed)),
            State::Waiting(_) | State::Gone => None,
        }
    }
}

/// A wait for a place in the queue. Made by [`Queue::reserve`]; `.await` it, or [`wait`](Self::wait).
///
/// Dropping it leaves the line.
#[must_use = "nothing is reserved until it is awaited or waited for"]
pub struct Reserve<'q> {
    queue: &'q Queue,
    ticket: Option<Arc<Ticket>>,
}

/// A place in the queue, for one operation. Dropping it gives the place back.
#[must_use = "dropping it gives the place back"]
pub struct Permit<'q> {
    queue: &'q Queue,
    /// A claimed slot, ours until it is submitted.
    index: Option<u32>,
}

impl<'q> Reserve<'q> {
    pub(crate) fn new(queue: &'q Queue) -> Self {
        Self {
            queue,
            ticket: None,
        }
    }

    /// Blocks until there is a place. Reaps meanwhile if nobody else does.
    ///
    /// A place becomes free when a result is taken, or an abandoned operation is over. A thread that
    /// holds all handles of the queue itself and takes none of their results waits for ever.
    ///
    /// # Errors
    ///
    /// [`SubmitErrorKind::Closed`] and [`SubmitErrorKind::Forked`].
    ///
    /// # Panics
    ///
    /// With the panic of a waker or destructor that it ran, as [`Queue::reap`].
    pub fn wait(self) -> Result<Permit<'q>, SubmitErrorKind> {
        self.wait_until(None)
    }

    /// As [`wait`](Self::wait), but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`SubmitErrorKind::QueueFull`] when there was no place in time, and those of `wait`.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<Permit<'q>, SubmitErrorKind> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(mut self, deadline: Option<Instant>) -> Result<Permit<'q>, SubmitErrorKind> {
        self.check_process()?;
        // It may be in line already, if it was polled.
        if self.ticket.is_none() {
            if let Some(permit) = self.try_claim()? {
                return Ok(permit);
            }
        }
        let ticket = self.ticket.as_deref().expect("no place, so we are in line");
        // A waker of an executor is foreign code: it isn't to be dropped while standing in line.
        ticket.unregister();
        let waited = self.queue.shared().wait_for(
            Goal::Room,
            deadline,
            || !ticket.is_waiting(),
            |waker| ticket.register(waker),
        );
        match (self.settled(), waited) {
            (Some(result), _) => result,
            (None, Ok(Waited::Reached | Waited::TimedOut)) => Err(SubmitErrorKind::QueueFull),
            // Nothing can be reaped any more: the queue was closed by whoever noticed.
            (None, Err(_)) => Err(SubmitErrorKind::Closed),
        }
    }

    /// In a child process a ticket's lock may be held by a thread that doesn't exist there.
    fn check_process(&self) -> Result<(), SubmitErrorKind> {
        if self.queue.shared().process.is_current() {
            Ok(())
        } else {
            Err(SubmitErrorKind::Forked)
        }
    }

    /// A place, if there is one; else a ticket.
    fn try_claim(&mut self) -> Result<Option<Permit<'q>>, SubmitErrorKind> {
        if let Some(index) = self.queue.claim(1).next() {
            return Ok(Some(Permit::new(self.queue, index)));
        }
        match self.queue.why_not_claimed() {
            SubmitErrorKind::QueueFull => {}
            other => return Err(other),
        }
        match self.queue.shared().room.join(self.queue)? {
            Ok(index) => Ok(Some(Permit::new(self.queue, index))),
            Err(ticket) => {
                self.ticket = Some(ticket);
                Ok(None)
            }
        }
    }

    /// What the wait came to. If it isn't over, it is given up.
    fn settled(&mut self) -> Option<Result<Permit<'q>, SubmitErrorKind>> {
        let ticket = self.ticket.take()?;
        let Some(result) = ticket.take() else {
            let shared = self.queue.shared();
            shared.room.leave(&ticket, &shared.slab);
            return None;
        };
        Some(result.map(|index| Permit::new(self.queue, index)))
    }
}

impl<'q> Future for Reserve<'q> {
    type Output = Result<Permit<'q>, SubmitErrorKind>;

    /// # Panics
    ///
    /// When polled again after it was ready, as far as it notices.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.check_process()?;
        if self.ticket.is_none() {
            if let Some(permit) = self.try_claim()? {
                return Poll::Ready(Ok(permit));
            }
        }
        let ticket = self.ticket.as_ref().expect("no place, so we are in line");
        if ticket.register(cx.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(
            self.settled()
                .expect("register returns false when the wait is over"),
        )
    }
}

impl Drop for Reserve<'_> {
    fn drop(&mut self) {
        if !self.queue.shared().process.is_current() {
            // In a child process the ticket's lock may be held by a thread that doesn't exist here.
            std::mem::forget(self.ticket.take());
            return;
        }
        // A place that was given meanwhile goes back with the permit.
        drop(self.settled());
    }
}

impl<'q> Permit<'q> {
    fn new(queue: &'q Queue, index: u32) -> Self {
        Self {
            queue,
            index: Some(index),
        }
    }

    /// Submits an operation in this place. As [`Queue::submit`], but the queue isn't full.
    ///
    /// # Errors
    ///
    /// As [`Queue::submit`]. The place is given back.
    #[doc(alias = "io_submit")]
    pub fn submit<P: Payload>(
        mut self,
        file: impl AsFd,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        if !self.queue.shared().process.is_current() {
            return Err(SubmitError {
                reason: SubmitErrorKind::Forked,
                op,
            });
        }
        // Before the place is taken: it may panic.
        let file = file.as_fd();
        let index = self.index.take().expect("only submit takes it");
        let slot = self.queue.shared().slab.claimed(index);
        self.queue.submit_in(slot, file, op)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let shared = self.queue.shared();
        if let Some(index) = self.index.take().filter(|_| shared.process.is_current()) {
            // SAFETY: the slot was claimed and is empty; the queue keeps the slab.
            unsafe { shared.free_held(index) };
        }
    }
}

impl fmt::Debug for Reserve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve")
            .field("in_line", &self.ticket.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
