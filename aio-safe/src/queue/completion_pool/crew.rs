//! The threads of a pool: how they share the reaping and the functions, and how they end.
//!
//! One thread at a time reaps: it has the *reaping role*. The others call functions that are
//! [due](super::due), or are idle. The thread that has reaped leaves the role and calls a function
//! itself, so a function needs no switch to another thread. Before that, it wakes an idle thread,
//! which takes the role or the next function, and wakes another one if there is more to do. If no
//! thread is idle, nobody reaps until a function returns.
//!
//! Nobody else reaps this queue, except the thread that closes it and functions that wait for a
//! slot. These take the role first. All wakers of a turn run before the role is left. So functions
//! become due in the order in which the kernel has put the completions in its ring.
//!
//! # Who is woken
//!
//! A thread sleeps only while it finds nothing to do, and it looks and goes to sleep without
//! leaving the lock in between. These are all the moments at which there may be something to do:
//!
//! - A function is taken, and others are left or the role is free; the role is left:
//!   [`Crew::hand_on`] wakes an idle thread.
//! - A refused operation became due in a thread that submits: [`Crew::look_at_refused`].
//! - A waiter gets its slot: its waker.
//! - The queue is closed, or the last function has returned: all idle threads are woken.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Wake,
};

use super::{
    call::Call,
    due::{Due, DueList},
};
use crate::{
    Queue,
    engine::line::Ticket,
    error::{CloseError, ReapError},
    fork::Process,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
        lock, thread_local, wait,
    },
};

/// What the threads of a pool share: see the [module](self).
pub(super) struct Crew {
    pub(super) queue: Queue,
    state: Mutex<State>,
    /// Idle threads wait here.
    work: Condvar,
    /// Functions that wait for a slot wait here, and the thread that closes the queue.
    changed: Condvar,
    /// Threads outside the pool wait here for a slot.
    room: Condvar,
    /// Operations that are submitted, or are being submitted, and whose functions haven't returned.
    // Relaxed is enough. A thread that ends has seen under the lock that the queue is closed. The
    // closing thread has waited at the gate for all submitters, and they had counted before.
    unfinished: AtomicUsize,
    panics: AtomicUsize,
}

struct State {
    due: DueList,
    /// A thread has the reaping role.
    reaping: bool,
    /// That thread is in a function that waits for a slot.
    reaps_for_slot: bool,
    /// A thread closes the pool. There is one such thread.
    has_closer: bool,
    /// The queue is being closed, or can't be reaped. Only the closing thread takes the role.
    closing: bool,
    /// Nothing is in flight any more.
    closed: bool,
    /// The result of closing the queue because it couldn't be reaped.
    broken: Option<Result<(), CloseError>>,
    /// How many threads wait for `work`.
    idle: usize,
    /// How many threads wait for `changed`.
    waiting: usize,
}

impl State {
    fn may_reap(&self) -> bool {
        !self.reaping && !self.closing
    }
}

thread_local! {
    /// The address of the crew that this thread belongs to, or 0.
    #[allow(
        clippy::missing_const_for_thread_local,
        reason = "loom's macro of this name knows no const initialisers"
    )]
    static CREW: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

impl Crew {
    pub(super) fn new(queue: Queue) -> Arc<Self> {
        Arc::new(Self {
            queue,
            state: Mutex::new(State {
                due: DueList::default(),
                reaping: false,
                reaps_for_slot: false,
                has_closer: false,
                closing: false,
                closed: false,
                broken: None,
                idle: 0,
                waiting: 0,
            }),
            work: Condvar::new(),
            changed: Condvar::new(),
            room: Condvar::new(),
            unfinished: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
        })
    }

    pub(super) fn process(&self) -> &Process {
        &self.queue.shared().process
    }

    /// Whether this thread is one of the crew: it is in a function of the pool.
    pub(super) fn has_this_thread(&self) -> bool {
        CREW.try_with(|crew| crew.get() == std::ptr::from_ref(self).addr())
            .unwrap_or(false)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.load(Relaxed)
    }

    pub(super) fn panics(&self) -> usize {
        self.panics.load(Relaxed)
    }

    // Submitting.

    /// `n` operations are about to be submitted.
    pub(super) fn submits(&self, n: usize) {
        self.unfinished.fetch_add(n, Relaxed);
    }

    /// `n` operations weren't submitted after all.
    pub(super) fn not_submitted(&self, n: usize) {
        // In a child process the lock may be held by a thread that doesn't exist there.
        if self.unfinished.fetch_sub(n, Relaxed) == n && self.process().is_current() {
            self.all_finished(&lock(&self.state));
        }
    }

    /// Refused operations became due in this thread. A thread of the crew has to see them, even if
    /// it waits in the kernel.
    pub(super) fn look_at_refused(&self) {
        if !self.process().is_current() {
            return;
        }
        let kick = {
            let state = lock(&self.state);
            self.hand_on(&state);
            // MECHANISM: the kick of a thread of a pool for a refused operation
            // `state.reaping && (state.idle == 0 || state.reaps_for_slot)` becomes `false`
            state.reaping && (state.idle == 0 || state.reaps_for_slot)
        };
        if kick {
            self.queue.shared().kick();
        }
    }

    // Reaping.

    /// An operation is over. The thread that reaps calls this for each, in the order of their
    /// completions. It sees to the rest when it leaves the role. A submitter calls this for an
    /// operation that was refused, and [sees to it](Self::look_at_refused) itself.
    pub(super) fn is_over(&self, call: Arc<dyn Call>, key: Option<u64>) {
        lock(&self.state).due.push(call, key);
    }

    /// Takes the role, does one turn, and leaves the role. The role is free, and this thread may
    /// take it.
    fn reap<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        for_slot: bool,
    ) -> MutexGuard<'a, State> {
        debug_assert!(state.may_reap(), "another thread has the role");
        state.reaping = true;
        state.reaps_for_slot = for_slot;
        drop(state);
        let shared = self.queue.shared();
        let turn = catch_unwind(AssertUnwindSafe(|| shared.reap_turn(1, None)));
        let broken = match turn {
            Ok(Err(ReapError::Os(_))) => Some(self.close_queue()),
            // The panic of a kernel of the program's own. The hook has reported it. Its payload may
            // panic when it is dropped.
            Err(panic) => {
                mem::forget(panic);
                None
            }
            Ok(Ok(_) | Err(_)) => None,
        };
        let mut state = lock(&self.state);
        state.reaping = false;
        if broken.is_some() {
            state.closing = true;
            state.broken = broken;
        }
        if state.waiting > 0 {
            self.changed.notify_all();
        }
        state
    }

    /// Closes the queue, which ends everything in flight. This thread has the role.
    fn close_queue(&self) -> Result<(), CloseError> {
        let close = || self.queue.shared().close();
        match catch_unwind(AssertUnwindSafe(close)) {
            Ok(result) => result,
            Err(panic) => {
                mem::forget(panic);
                Ok(())
            }
        }
    }

    /// Wakes an idle thread if there is something to do for it, and the functions that wait for a
    /// slot.
    fn hand_on(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
        // MECHANISM: the hand-over of the reaping role of a pool
        // `state.due.is_one_ready() || state.may_reap()` becomes `state.due.is_one_ready()`
        let something_to_do = state.due.is_one_ready() || state.may_reap();
        if state.idle > 0 && something_to_do {
            self.work.notify_one();
        }
    }

    // The threads.

    /// What each thread of the crew does until the pool is closed.
    pub(super) fn serve(self: Arc<Self>) {
        CREW.with(|crew| crew.set(Arc::as_ptr(&self).addr()));
        let mut state = lock(&self.state);
        loop {
            if let Some(due) = state.due.next() {
                self.hand_on(&state);
                drop(state);
                let key = due.key;
                self.call(due);
                if !self.process().is_current() {
                    break;
                }
                state = lock(&self.state);
                if let Some(key) = key {
                    state.due.called(key);
                }
                if self.unfinished.fetch_sub(1, Relaxed) == 1 {
                    self.all_finished(&state);
                }
            } else if state.closed && self.unfinished() == 0 {
                return;
            } else if state.may_reap() {
                state = self.reap(state, false);
            } else {
                state.idle += 1;
                state = wait(&self.work, state);
                state.idle -= 1;
            }
        }
        // The function has forked, and this is the child, which has this thread alone. Nothing of
        // the parent's is dropped.
        mem::forget(self);
    }

    /// Calls a function. A panic ends here.
    fn call(&self, due: Due) {
        let Due { call, .. } = due;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call.make())) {
            self.panics.fetch_add(1, Relaxed);
            // The hook has reported it. Its payload may panic when it is dropped.
            mem::forget(panic);
        }
    }

    /// No function is left. If the queue is closed, the threads end.
    fn all_finished(&self, state: &State) {
        if state.closed {
            self.work.notify_all();
        }
    }

    /// Closes the queue. When this returns, nothing is in flight. The threads then call the
    /// functions that are due, and end.
    pub(super) fn close(&self) -> Result<(), CloseError> {
        let mut state = lock(&self.state);
        if mem::replace(&mut state.has_closer, true) {
            return Err(CloseError::Closed);
        }
        state.closing = true;
        let mut kicked = false;
        while state.reaping {
            if kicked {
                state.waiting += 1;
                state = wait(&self.changed, state);
                state.waiting -= 1;
            } else {
                drop(state);
                // MECHANISM: the kick of a pool's thread by the one that closes
                // `self.queue.shared().kick();` becomes nothing
                self.queue.shared().kick();
                kicked = true;
                state = lock(&self.state);
            }
        }
        let result = match state.broken.take() {
            Some(result) => result,
            None => {
                state.reaping = true;
                state.reaps_for_slot = false;
                drop(state);
                let result = self.close_queue();
                state = lock(&self.state);
                state.reaping = false;
                result
            }
        };
        state.closed = true;
        self.work.notify_all();
        self.changed.notify_all();
        result
    }

    // Waiting for a slot.

    /// Waits until the ticket's wait is over. The ticket's waker is this crew. Returns early in a
    /// child process.
    pub(super) fn wait_for_slot(&self, ticket: &Ticket) {
        let mut state = lock(&self.state);
        if self.has_this_thread() {
            self.make_room(state, ticket);
        } else {
            while ticket.is_waiting() {
                state = wait(&self.room, state);
            }
        }
    }

    /// Waits in a function. Perhaps all threads of the crew do, so each of them reaps if nobody
    /// does, and takes results out of slots.
    fn make_room<'a>(&'a self, mut state: MutexGuard<'a, State>, ticket: &Ticket) {
        while ticket.is_waiting() {
            if let Some(call) = state.due.unsettled() {
                drop(state);
                call.settle();
                // A method of the buffer may have forked.
                if !self.process().is_current() {
                    return;
                }
                state = lock(&self.state);
            } else if state.may_reap() {
                state = self.reap(state, true);
                // This thread calls none of the functions that became due.
                self.hand_on(&state);
            } else {
                state.waiting += 1;
                state = wait(&self.changed, state);
                state.waiting -= 1;
            }
        }
        self.hand_on(&state);
    }
}

/// Ends a wait for a slot.
impl Wake for Crew {
    fn wake(self: Arc<Self>) {
        if !self.process().is_current() {
            return;
        }
        let kick = {
            let state = lock(&self.state);
            self.room.notify_all();
            self.changed.notify_all();
            // MECHANISM: the kick of a function that is given a slot
            // `state.reaping && state.reaps_for_slot` becomes `false`
            state.reaping && state.reaps_for_slot
        };
        if kick {
            self.queue.shared().kick();
        }
    }
}
