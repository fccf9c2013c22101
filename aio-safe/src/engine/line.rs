//! The line: the threads and tasks that wait for a slot of a full queue, first come first served.
//!
//! While the line isn't empty, the words of the [slab](crate::engine::slab) carry a mark. A thread
//! that frees a slot finds the mark, and gives the slot to the first waiter instead. So a waiter
//! that comes later doesn't get a slot earlier, and no waiter is woken without getting one.

use std::{
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
};

use crate::{
    engine::{gate::Gate, slab::Slab},
    error::QueueError,
    fork::Process,
    sync::{Mutex, lock},
};

/// The line: see the [module](self).
pub(crate) struct Line {
    tickets: Mutex<VecDeque<Arc<Ticket>>>,
}

/// One waiter. A ticket may outlive the queue's shared part.
pub(crate) struct Ticket(Mutex<State>);

enum State {
    Waiting(Alarm),
    /// This slot belongs to the waiter.
    Given(u32),
    /// The queue was closed.
    Closed,
    /// The waiter gave up, or took what it was given.
    Gone,
}

/// How a waiter is told that its wait is over.
enum Alarm {
    /// It isn't told: it looks by itself.
    None,
    Waker(Waker),
    /// By a [kick](crate::engine::kick): its thread leads, and waits in the kernel.
    Kick,
}

/// The outcome of [`Line::give`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// The line is empty, and the slot is still the caller's.
    Nobody,
    /// The slot is the first waiter's, which was told.
    Taken,
    /// The slot is the first waiter's. The caller has to kick its thread.
    Kick,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            tickets: Mutex::new(VecDeque::new()),
        }
    }

    /// Gives a slot to the first waiter. The slot is the caller's, empty and retired. If the line
    /// is empty, it stays the caller's. The mark is removed from the slab when the line becomes
    /// empty.
    ///
    /// A slot that was given away no longer keeps the shared part for the caller, which needs a
    /// hold.
    pub(crate) fn give(&self, index: u32, slab: &Slab) -> Given {
        loop {
            let first = {
                let mut tickets = lock(&self.tickets);
                let first = tickets.pop_front();
                if tickets.is_empty() {
                    slab.unmark_waited();
                }
                first
            };
            let Some(ticket) = first else {
                return Given::Nobody;
            };
            match ticket.settle(State::Given(index)) {
                None => {}
                Some(false) => return Given::Taken,
                Some(true) => return Given::Kick,
            }
        }
    }

    /// Claims a slot, or joins the line and returns a ticket. The thread that closes the queue
    /// closes the gate before it calls [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`]: the gate is closed.
    pub(crate) fn join(
        &self,
        slab: &Slab,
        gate: &Gate,
    ) -> Result<Result<u32, Arc<Ticket>>, QueueError> {
        let mut tickets = lock(&self.tickets);
        if gate.is_closed() {
            return Err(QueueError::Closed);
        }
        slab.mark_waited();
        // A slot may have been freed just before the slab was marked.
        if let Some(index) = slab.claim(1).next() {
            if tickets.is_empty() {
                slab.unmark_waited();
            }
            return Ok(Ok(index));
        }
        let ticket = Arc::new(Ticket(Mutex::new(State::Waiting(Alarm::None))));
        tickets.push_back(Arc::clone(&ticket));
        Ok(Err(ticket))
    }

    /// Removes a waiter that gave up.
    pub(crate) fn leave(&self, ticket: &Arc<Ticket>, slab: &Slab) {
        let mut tickets = lock(&self.tickets);
        tickets.retain(|other| !Arc::ptr_eq(other, ticket));
        if tickets.is_empty() {
            slab.unmark_waited();
        }
    }

    /// Ends all waits, because the queue is closed. It doesn't kick a waiter that leads: the thread
    /// that closes the queue kicks the leader anyway.
    ///
    /// A waker may fork. The child leaves the other waiters to its parent.
    pub(crate) fn close(&self, slab: &Slab, process: &Process) {
        let tickets = {
            let mut tickets = lock(&self.tickets);
            slab.unmark_waited();
            mem::take(&mut *tickets)
        };
        let mut tickets = tickets.into_iter();
        while let Some(ticket) = tickets.next() {
            ticket.settle(State::Closed);
            if !process.is_current() {
                tickets.for_each(mem::forget);
                break;
            }
        }
    }
}

impl Ticket {
    /// Ends the wait. Returns whether the waiter's thread has to be kicked, or `None` if the waiter
    /// has gone.
    fn settle(&self, end: State) -> Option<bool> {
        let before = {
            let mut state = lock(&self.0);
            if !matches!(*state, State::Waiting(_)) {
                return None;
            }
            mem::replace(&mut *state, end)
        };
        match before {
            State::Waiting(Alarm::Kick) => return Some(true),
            State::Waiting(Alarm::Waker(waker)) => {
                // A panic of the waker ends here, because the slot was given. The panic hook has
                // reported it. The panic's payload is leaked, because it may panic in its own
                // destructor.
                let wake = AssertUnwindSafe(|| waker.wake());
                mem::forget(catch_unwind(wake));
            }
            _ => {}
        }
        Some(false)
    }

    /// Stores a waker. Returns false if the wait is over.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.arm(Alarm::Waker(waker.clone()))
    }

    /// Notes that the waiter's thread leads and is about to wait in the kernel, so that it has to
    /// be kicked. Returns false if the wait is over.
    pub(crate) fn register_kick(&self) -> bool {
        self.arm(Alarm::Kick)
    }

    /// Drops the waker, if one is stored.
    pub(crate) fn unregister(&self) {
        self.arm(Alarm::None);
    }

    fn arm(&self, alarm: Alarm) -> bool {
        let mut state = lock(&self.0);
        let State::Waiting(stored) = &mut *state else {
            // The lock is released first, because the waker that is dropped on return is foreign
            // code.
            drop(state);
            return false;
        };
        let before = mem::replace(stored, alarm);
        drop(state);
        drop(before);
        true
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(*lock(&self.0), State::Waiting(_))
    }

    /// The result of the wait. A wait that isn't over is given up, which returns `None`.
    pub(crate) fn take(&self) -> Option<Result<u32, QueueError>> {
        let before = mem::replace(&mut *lock(&self.0), State::Gone);
        match before {
            State::Given(index) => Some(Ok(index)),
            State::Closed => Some(Err(QueueError::Closed)),
            State::Waiting(_) | State::Gone => None,
        }
    }
}
