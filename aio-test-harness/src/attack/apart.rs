//! Keeps panics and forks apart.
//!
//! In a program that is linked statically, libgcc looks up the frames of a panic under a lock. The
//! C library doesn't reset that lock in a forked child. So a child's first panic waits for ever if
//! another thread was unwinding at the fork. No library can do anything about that, and it would
//! look like a fault of aio-safe.

#![forbid(unsafe_code)]

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{round::Round, seam::fork};

static THREADS: Threads = Threads(AtomicU64::new(0));

thread_local! {
    /// Whether this thread is counted as unwinding.
    static PANICS: Cell<bool> = const { Cell::new(false) };
    /// How many guards this thread is in.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread may panic. If so, no thread forks until its outermost [`Guard`] ends.
pub(super) fn may_panic(round: &Round) -> bool {
    // A child has one thread.
    if !round.plan.forks || fork::is_child() || PANICS.get() {
        return true;
    }
    // A queue's own thread has no guard, which would tell when the panic is over.
    if GUARDS.get() > 0 {
        PANICS.set(THREADS.begin_panic());
    }
    PANICS.get()
}

/// The calling thread forks. No thread panics meanwhile.
pub(super) struct Forking(());

impl Forking {
    /// None if a thread may be unwinding.
    pub(super) fn begin() -> Option<Self> {
        THREADS.begin_fork().then(|| Self(()))
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        THREADS.end_fork();
    }
}

/// Within this, the calling thread may panic. The panic is caught before this is dropped.
pub(super) struct Guard(());

impl Guard {
    pub(super) fn begin() -> Self {
        GUARDS.set(GUARDS.get() + 1);
        Self(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get() - 1);
        // A queue may catch a panic and let it go on later, so an inner guard says nothing.
        if GUARDS.get() == 0 && PANICS.replace(false) {
            THREADS.end_panic();
        }
    }
}

/// How many threads fork (the upper half), and how many may be unwinding (the lower half). One of
/// them is zero.
struct Threads(AtomicU64);

const FORKING: u64 = 1 << 32;
const UNWINDING: u64 = 1;

impl Threads {
    fn begin_fork(&self) -> bool {
        self.begin(FORKING, |threads| threads % FORKING == 0)
    }

    fn end_fork(&self) {
        self.0.fetch_sub(FORKING, Ordering::AcqRel);
    }

    fn begin_panic(&self) -> bool {
        self.begin(UNWINDING, |threads| threads < FORKING)
    }

    fn end_panic(&self) {
        self.0.fetch_sub(UNWINDING, Ordering::AcqRel);
    }

    fn begin(&self, what: u64, may: impl Fn(u64) -> bool) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |threads| {
                may(threads).then_some(threads + what)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_either_panic_or_fork() {
        let threads = Threads(AtomicU64::new(0));
        assert!(threads.begin_fork() && threads.begin_fork());
        assert!(!threads.begin_panic());
        threads.end_fork();
        assert!(!threads.begin_panic());
        threads.end_fork();
        assert!(threads.begin_panic() && threads.begin_panic());
        assert!(!threads.begin_fork());
        threads.end_panic();
        assert!(!threads.begin_fork());
        threads.end_panic();
        assert!(threads.begin_fork());
    }

    #[test]
    fn an_inner_guard_ends_no_panic() {
        let outer = Guard::begin();
        PANICS.set(THREADS.begin_panic());
        if PANICS.get() {
            drop(Guard::begin());
            assert!(PANICS.get());
            assert!(Forking::begin().is_none());
            drop(outer);
            assert!(!PANICS.get());
        }
    }
}
