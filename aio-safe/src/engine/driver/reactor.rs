//! A driver in a runtime's reactor: it needs neither a thread nor a task.
//!
//! The reactor watches the queue's eventfd, and wakes a waker when the eventfd is signalled. That
//! waker is the driver itself: when it is woken, it reaps, and so wakes the tasks whose operations
//! are over. Then it has the reactor watch the eventfd again.
//!
//! A signal may come while the driver is at work, in another thread or in foreign code that it
//! runs. Then the driver goes on for another round. If another thread leads, its successor sees to
//! the completions, or signals the eventfd when the role is free:
//! [`lead_or_ask`](crate::engine::leader::Leadership::lead_or_ask).

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use super::MISSING;
use crate::{
    engine::shared::{Hold, Shared},
    sync::{
        Mutex, Uses,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
        lock,
    },
};

/// A reactor's side of an eventfd.
pub(crate) trait Source: Send {
    /// Whether the eventfd was signalled since this last said so. If not, the waker is woken when
    /// it is signalled.
    ///
    /// # Errors
    ///
    /// The reactor has ended, or doesn't work.
    fn poll_signalled(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Nothing to do.
const IDLE: u32 = 0;
/// A thread is in [`Drives::rounds`].
const AT_WORK: u32 = 1;
/// That thread has to go on for another round.
const AGAIN: u32 = 2;

/// The reactor's part of a driver.
pub(super) struct Reactor {
    state: AtomicU32,
    /// None when the queue was closed, or the reactor has ended.
    source: Mutex<Option<Box<dyn Source>>>,
}

impl Reactor {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU32::new(IDLE),
            source: Mutex::new(None),
        }
    }

    /// Ends the reactor's watch.
    pub(super) fn stop(&self) {
        // The source has a driver as its waker, and so a hold on the queue. Dropping the source
        // ends that.
        let source = lock(&self.source).take();
        drop(source);
    }
}

impl Shared {
    /// Has a reactor drive the queue.
    pub(crate) fn set_reactor(&self, hold: Hold, source: Box<dyn Source>) {
        *lock(&self.driver.reactor.source) = Some(source);
        // From now on the reactor watches the eventfd.
        let uses = Uses::new();
        Arc::new(Drives { hold, uses }).wake();
    }
}

/// The waker that drives a queue.
struct Drives {
    hold: Hold,
    uses: Uses,
}

impl Wake for Drives {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: Release, not Relaxed: because a reactor may say by an atomic that the eventfd
        // was signalled, and the other thread has to see that. The models' reactor has a lock.
        // MECHANISM: the other round of a reactor that is at work
        // `swap(AGAIN, Release) == IDLE` becomes `load(Relaxed) == IDLE`
        if self.hold.driver.reactor.state.swap(AGAIN, Release) == IDLE {
            self.rounds();
        }
        self.uses.used();
    }
}

impl Drop for Drives {
    fn drop(&mut self) {
        self.uses.last();
    }
}

impl Drives {
    /// Reaps, until no signal has come meanwhile.
    fn rounds(self: &Arc<Self>) {
        let state = &self.hold.driver.reactor.state;
        loop {
            // ORDERING: Acquire, not Relaxed: because it pairs with the exchange of a thread that
            // asks for another round.
            state.swap(AT_WORK, Acquire);
            if catch_unwind(AssertUnwindSafe(|| self.round())).is_err() {
                // The reactor's own code has panicked.
                self.fall_back();
            }
            // ORDERING: Release, not Relaxed: because the next round, in another thread, comes
            // after this one.
            if state
                .compare_exchange(AT_WORK, IDLE, Release, Relaxed)
                .is_ok()
            {
                return;
            }
        }
    }

    fn round(self: &Arc<Self>) {
        let shared = &*self.hold;
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        while shared.process.is_current() {
            let polled = match &*lock(&shared.driver.reactor.source) {
                None => return,
                Some(source) => source.poll_signalled(&mut context),
            };
            match polled {
                Poll::Pending => return,
                // The hook has reported the panic of foreign code. Its payload may panic when it is
                // dropped.
                Poll::Ready(Ok(())) => mem::forget(shared.take_completed()),
                Poll::Ready(Err(_)) => return self.fall_back(),
            }
        }
    }

    /// Has a thread drive the queue from now on.
    #[cold]
    fn fall_back(&self) {
        let shared = &*self.hold;
        shared.driver.reactor.stop();
        if shared.gate.is_closed() {
            return;
        }
        shared.driver.mode.store(MISSING, Relaxed);
        // Somebody may wait in another runtime. If no thread can be had now, the next future that
        // waits tries again.
        shared.start_thread(self.hold.clone());
    }
}
