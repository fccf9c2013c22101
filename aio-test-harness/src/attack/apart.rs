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

use super::seam::fork;

/// How many threads fork (the upper half), and how many may be unwinding (the lower half). One of
/// them is zero.
static THREADS: AtomicU64 = AtomicU64::new(0);

const FORKING: u64 = 1 << 32;
const UNWINDING: u64 = 1;

thread_local! {
    /// Whether this thread is counted as unwinding.
    static PANICS: Cell<bool> = const { Cell::new(false) };
    /// How many guards this thread is in.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread may panic. No thread forks then until its outermost [`Guard`] ends.
pub(super) fn may_panic() -> bool {
    // A child has one thread.
    if fork::is_child() || PANICS.get() {
        return true;
    }
    let may = enter(UNWINDING, |threads| threads < FORKING);
    PANICS.set(may);
    may
}

/// The calling thread forks, unless another one may be unwinding. No thread panics meanwhile.
pub(super) struct Forking(());

impl Forking {
    pub(super) fn begin() -> Option<Self> {
        let may = enter(FORKING, |threads| threads % FORKING == 0);
        may.then_some(Self(()))
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        THREADS.fetch_sub(FORKING, Ordering::AcqRel);
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
            THREADS.fetch_sub(UNWINDING, Ordering::AcqRel);
        }
    }
}

fn enter(what: u64, may: impl Fn(u64) -> bool) -> bool {
    THREADS
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |threads| {
            may(threads).then_some(threads + what)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_panics_or_forks() {
        let forking = Forking::begin().unwrap();
        let second = Forking::begin().unwrap();
        let guard = Guard::begin();
        assert!(!may_panic());
        drop((forking, second));
        let inner = Guard::begin();
        assert!(may_panic());
        drop(inner);
        assert!(Forking::begin().is_none());
        assert!(may_panic());
        drop(guard);
        assert!(Forking::begin().is_some());
        assert_eq!(THREADS.load(Ordering::Relaxed), 0);
    }
}
