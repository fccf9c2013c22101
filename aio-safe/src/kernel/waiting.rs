//! Whether a thread waits in the real kernel, so that a worker's event has to end the wait.
//!
//! The thread says that it waits, then looks whether there are events of workers. A worker posts an
//! event, then looks whether a thread waits. With a `SeqCst` fence between the two steps on each
//! side, at least one of them sees the other.

use crate::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
    fence,
};

/// See the [module](self).
pub(crate) struct Waiting(AtomicBool);

impl Waiting {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// This thread is about to wait. It looks for events after this.
    pub(crate) fn begin(&self) {
        self.0.store(true, Relaxed);
        // MECHANISM: the order of saying so and looking
        // `fence(SeqCst)` becomes `()`
        fence(SeqCst);
    }

    /// The wait is over.
    pub(crate) fn end(&self) {
        self.0.store(false, Relaxed);
    }

    /// An event was posted. Whether a wait has to be ended: one caller is told so.
    pub(crate) fn is_to_be_ended(&self) -> bool {
        // MECHANISM: the order of posting and looking
        // `fence(SeqCst)` becomes `()`
        fence(SeqCst);
        self.0.load(Relaxed) && self.0.swap(false, Relaxed)
    }
}
