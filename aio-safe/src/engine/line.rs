//! The line of those who wait for a slot, first come first served.
//!
//! While somebody waits, the [slab](crate::engine::slab)'s words carry a mark, and whoever frees a slot
//! hands it to the first in line instead. So nobody who comes later gets in before, and nobody is woken
//! in vain.

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
    sync::{Mutex, lock},
};

/// See the [module](self).
pub(crate) struct Line {
    tickets: Mutex<VecDeque<Arc<Ticket>>>,
}

/// One who waits. It outlives the queue's shared part where it has to.
pub(crate) struct Ticket(Mutex<State>);

enum State {
    Waiting(Alarm),
    /// The slot is the waiter's.
    Given(u32),
    Closed,
    /// The waiter went, or took what it was given.
    Gone,
}

/// How a waiter learns that its wait is over.
enum Alarm {
    /// It looks.
    None,
    Waker(Waker),
    /// Its thread leads, and waits in the kernel: it has to be [kicked](crate::engine::kick).
    Kick,
}

/// What became of a slot that was to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// Nobody waits any more: the slot is still the caller's.
    Nobody,
    /// It is the first waiter's, who was told.
    Taken,
    /// It is the first waiter's, who has to be kicked.
    Kick,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            tickets: Mutex::new(VecDeque::new()),
        }
    }

    /// Hands a slot that is the caller's, retired and empty, to the first in line. When nobody waits
    /// any more, the mark is gone.
    ///
    /// What keeps the shared part may be gone once the slot is given.
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

    /// Claims a slot, or gets in line: then there is a ticket. The gate is closed before
    /// [`close`](Self::close) is called.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`].
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
        // One may have been freed before the mark was there.
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

    /// Takes one who has given up out of the line.
    pub(crate) fn leave(&self, ticket: &Arc<Ticket>, slab: &Slab) {
        let mut tickets = lock(&self.tickets);
        tickets.retain(|other| !Arc::ptr_eq(other, ticket));
        if tickets.is_empty() {
            slab.unmark_waited();
        }
    }

    /// Sends everybody away. One who leads in the kernel isn't kicked: the thread that closes the queue
    /// kicks whoever leads.
    pub(crate) fn close(&self, slab: &Slab) {
        let tickets = {
            let mut tickets = lock(&self.tickets);
            slab.unmark_waited();
            mem::take(&mut *tickets)
        };
        for ticket in tickets {
            ticket.settle(State::Closed);
        }
    }
}

impl Ticket {
    /// Ends the wait. `None` when the waiter is gone, otherwise whether it has to be kicked.
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
                // A panic of the waker is its own affair: the slot is given. What it carries is
                // leaked, as that may panic in its own destructor.
                let wake = AssertUnwindSafe(|| waker.wake());
                mem::forget(catch_unwind(wake));
            }
            _ => {}
        }
        Some(false)
    }

    /// Stores a waker. False when the wait is over.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.arm(Alarm::Waker(waker.clone()))
    }

    /// Says that the waiter's thread leads and is about to wait in the kernel. False when the wait is
    /// over.
    pub(crate) fn register_kick(&self) -> bool {
        self.arm(Alarm::Kick)
    }

    /// Drops the waker that is stored, if there is one.
    pub(crate) fn unregister(&self) {
        self.arm(Alarm::None);
    }

    fn arm(&self, alarm: Alarm) -> bool {
        let mut state = lock(&self.0);
        let State::Waiting(stored) = &mut *state else {
            // What is dropped may be foreign code.
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

    /// Takes what the wait came to; a wait that isn't over is given up.
    pub(crate) fn take(&self) -> Option<Result<u32, QueueError>> {
        let before = mem::replace(&mut *lock(&self.0), State::Gone);
        match before {
            State::Given(index) => Some(Ok(index)),
            State::Closed => Some(Err(QueueError::Closed)),
            State::Waiting(_) | State::Gone => None,
        }
    }
}
