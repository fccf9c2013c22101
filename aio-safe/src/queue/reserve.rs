//! Waiting for a slot in a full queue.

use std::{
    fmt, mem,
    os::fd::AsFd,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    Op, Pending, Queue, SubmitError,
    engine::{
        leader::Goal,
        line::Ticket,
        slab::Group,
        trace,
        wait::{Alarm, Unreachable},
    },
    error::QueueError,
    op::Payload,
};

/// A wait for a slot of the queue, first come first served. Made by [`Queue::reserve`]. A task
/// `.await`s it, a thread [`wait`](Self::wait)s for it.
///
/// A slot becomes free when a result is taken, or when the buffer of an
/// [abandoned](Pending#dropping) operation was dropped. The thread that frees a slot wakes the task
/// that gets it. The slots of abandoned operations become free when the queue's
/// [driver](super::Driver) or another thread reaps. Polling the future takes the completions that
/// are there already.
///
/// Dropping it gives up the place in line, and a slot that it was given goes to the next one.
/// Nothing was submitted yet, so nothing is abandoned. If a `Reserve` is polled and then
/// *forgotten* ([`std::mem::forget`]), it keeps the slot that it is given for ever.
#[must_use = "nothing is reserved until it is awaited or waited for"]
pub struct Reserve<'q> {
    queue: &'q Queue,
    ticket: Option<Arc<Ticket>>,
    /// When it joined the line.
    since: trace::Time,
}

/// A slot of the queue, for one operation. Dropping the permit frees the slot. It may then run the
/// waker of the next task in line: see [`Queue`](Queue#wakers-and-destructors).
#[must_use = "dropping it gives the slot back"]
pub struct Permit<'q> {
    queue: &'q Queue,
    /// A claimed slot, which is the permit's until an operation is submitted in it.
    index: Option<u32>,
}

impl<'q> Reserve<'q> {
    pub(crate) fn new(queue: &'q Queue) -> Self {
        Self {
            queue,
            ticket: None,
            since: trace::UNKNOWN,
        }
    }

    /// Blocks until there is a slot. The thread reaps for the whole queue meanwhile, unless another
    /// one does.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`] and [`QueueError::Forked`].
    ///
    /// # Deadlocks
    ///
    /// - If all slots belong to handles of this thread, it waits for ever, because no other thread
    ///   frees one.
    /// - It runs [wakers and destructors](Queue#wakers-and-destructors). The thread waits for
    ///   itself if it holds a lock that one of them takes.
    ///
    /// # Panics
    ///
    /// When a waker or a destructor that it runs panics: see [`Queue::reap`]. The place in line is
    /// given up then.
    pub fn wait(self) -> Result<Permit<'q>, QueueError> {
        self.wait_until(None)
    }

    /// As [`wait`](Self::wait), but for at most `timeout`. A timeout that an [`Instant`] can't
    /// represent counts as no timeout.
    ///
    /// # Errors
    ///
    /// [`QueueError::QueueFull`] when there was no slot in time, and those of `wait`.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<Permit<'q>, QueueError> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(mut self, deadline: Option<Instant>) -> Result<Permit<'q>, QueueError> {
        if let Some(permit) = self.claim_or_join()? {
            return Ok(permit);
        }
        let shared = self.queue.shared();
        let ticket = self.ticket.as_deref().expect("no slot, so we are in line");
        // A waker of an executor is foreign code, so it is dropped before this thread leads or
        // follows.
        ticket.unregister();
        if !shared.process.is_current() {
            return Err(QueueError::Forked);
        }
        let waited = shared.wait_for(
            Goal::Slot,
            deadline,
            || !ticket.is_waiting(),
            |alarm| match alarm {
                Alarm::Waker(waker) => ticket.register(waker),
                Alarm::Kick => ticket.register_kick(),
            },
        );
        match waited {
            // The ticket's lock may be held by a thread that doesn't exist in the child.
            Err(Unreachable::Forked) => Err(QueueError::Forked),
            // Nothing can be reaped any more. The thread that noticed closed the queue.
            Err(Unreachable::Broken(_)) => self.settled().unwrap_or(Err(QueueError::Closed)),
            Ok(_) => self.settled().unwrap_or(Err(QueueError::QueueFull)),
        }
    }

    /// Claims a slot if there is one, and joins the line otherwise. A `Reserve` that was polled may
    /// have a ticket already.
    fn claim_or_join(&mut self) -> Result<Option<Permit<'q>>, QueueError> {
        let shared = self.queue.shared();
        if !shared.process.is_current() {
            return Err(QueueError::Forked);
        }
        if self.ticket.is_some() {
            return Ok(None);
        }
        if shared.gate.is_closed() {
            return Err(QueueError::Closed);
        }
        let mut index = shared.slab.claim(1).next();
        if index.is_none() {
            // Before it joins the line: a subscriber that waits for a slot itself would wait behind
            // this place in line.
            let since = trace::waits();
            // The subscriber may have forked, and the line's lock may be held by a thread that
            // doesn't exist here.
            if !shared.process.is_current() {
                return Err(QueueError::Forked);
            }
            match shared.line.join(&shared.slab, &shared.gate)? {
                Ok(claimed) => {
                    index = Some(claimed);
                    trace::waited(since);
                }
                Err(ticket) => {
                    self.ticket = Some(ticket);
                    self.since = since;
                }
            }
        }
        Ok(index.map(|index| Permit::new(self.queue, index)))
    }

    /// The result of the wait. A wait that isn't over is given up, which returns `None`.
    fn settled(&mut self) -> Option<Result<Permit<'q>, QueueError>> {
        let ticket = self.ticket.take()?;
        let Some(result) = ticket.take() else {
            let shared = self.queue.shared();
            // The waker that was dropped may have forked, and the line's lock may be held by a
            // thread that doesn't exist here.
            if !shared.process.is_current() {
                mem::forget(ticket);
                return Some(Err(QueueError::Forked));
            }
            shared.line.leave(&ticket, &shared.slab);
            return None;
        };
        let permit = result.map(|index| Permit::new(self.queue, index));
        if permit.is_ok() {
            trace::waited(self.since);
        }
        Some(permit)
    }
}

impl<'q> Future for Reserve<'q> {
    type Output = Result<Permit<'q>, QueueError>;

    /// # Panics
    ///
    /// When a waker or a destructor that it runs panics: see [`Queue::reap`].
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(permit) = self.claim_or_join()? {
            return Poll::Ready(Ok(permit));
        }
        let ticket = self.ticket.as_ref().expect("no slot, so we are in line");
        if ticket.register(cx.waker()) {
            // Abandoned operations may be over, and perhaps no other thread reaps.
            let shared = self.queue.shared();
            // MECHANISM: the look for completions of a future that waits for a slot
            // `shared.take_completed()` becomes `None::<Box<dyn std::any::Any + Send>>`
            if let Some(panic) = shared.take_completed() {
                resume_unwind(panic);
            }
            shared.drive(cx.waker(), || shared.hold());
            if !shared.process.is_current() {
                return Poll::Ready(Err(QueueError::Forked));
            }
            if ticket.is_waiting() {
                return Poll::Pending;
            }
        }
        Poll::Ready(
            self.settled()
                .expect("the ticket's state changes once, and it has"),
        )
    }
}

impl Drop for Reserve<'_> {
    fn drop(&mut self) {
        if !self.queue.shared().process.is_current() {
            // In a child process the ticket's lock may be held by a thread that doesn't exist here.
            mem::forget(self.ticket.take());
            return;
        }
        // If a slot was given meanwhile, dropping the permit frees it.
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

    /// Submits an operation in this slot. It is as [`Queue::submit`], but never fails with
    /// [`QueueFull`](QueueError::QueueFull).
    ///
    /// # Errors
    ///
    /// As [`Queue::submit`]. The slot is freed then.
    #[doc(alias = "io_submit")]
    pub fn submit<P: Payload>(
        mut self,
        file: impl AsFd,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        // `as_fd` is the caller's code and may panic, so it runs while the permit has the slot.
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
            shared.unclaim(Group::one(index));
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
