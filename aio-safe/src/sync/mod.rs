//! The queue's synchronisation primitives: the standard library's, or loom's with `--cfg loom`. The
//! queue uses no others where two threads can race, so a loom model sees every race.

#[cfg(loom)]
mod checked;

use std::time::{Duration, Instant};

#[cfg(loom)]
pub(crate) use self::checked::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread_local,
};

#[cfg(loom)]
pub(crate) mod atomic {
    pub(crate) use super::checked::{AtomicBool, AtomicU32, AtomicUsize};
    pub(crate) use loom::sync::atomic::{Ordering, fence};
}

#[cfg(not(loom))]
pub(crate) use self::real::UnsafeCell;
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread_local,
};

/// Locks a mutex. Ignores poisoning: the data behind each of this crate's mutexes is consistent
/// wherever a panic can start.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits for a notification. May return early (a spurious wakeup).
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar
        .wait(guard)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits for a notification, or until the time is over. May return early (a spurious wakeup).
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    condvar
        .wait_timeout(guard, time)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .0
}

/// How long it is until a deadline. `None` if it is over.
#[cfg(not(loom))]
pub(crate) fn until(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now())
}

/// In a model no deadline is ever over: how long a machine takes must not change what a model does.
#[cfg(loom)]
pub(crate) fn until(_: Instant) -> Option<Duration> {
    Some(Duration::MAX)
}

/// Waits for another thread that needs only a few instructions, if it is running: spins first, then
/// sleeps.
pub(crate) struct Pause {
    #[cfg(not(loom))]
    spins: u32,
}

#[cfg(not(loom))]
impl Pause {
    pub(crate) fn new() -> Self {
        Self { spins: 0 }
    }

    pub(crate) fn wait(&mut self) {
        if self.spins < 100 {
            self.spins += 1;
            std::hint::spin_loop();
        } else {
            // The other thread isn't running. Yielding isn't enough: this thread goes on at once if
            // its priority is higher.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

#[cfg(loom)]
impl Pause {
    pub(crate) fn new() -> Self {
        Self {}
    }

    pub(crate) fn wait(&mut self) {
        loom::thread::yield_now();
    }
}

/// The uses of a value that threads share by a standard `Arc`. The thread that drops the last
/// reference comes after all uses. Loom doesn't see that order in the `Arc`, so it is told here.
#[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
pub(crate) struct Uses {
    #[cfg(loom)]
    ordered: loom::sync::atomic::AtomicUsize,
}

#[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
impl Uses {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(loom)]
            ordered: loom::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// A use ends here.
    #[allow(clippy::unused_self, reason = "loom's needs it")]
    pub(crate) fn used(&self) {
        #[cfg(loom)]
        self.ordered.fetch_add(1, atomic::Ordering::Release);
    }

    /// The last reference is dropped.
    #[allow(clippy::unused_self, reason = "loom's needs it")]
    pub(crate) fn last(&self) {
        #[cfg(loom)]
        self.ordered.fetch_add(0, atomic::Ordering::Acquire);
    }
}

#[cfg(not(loom))]
mod real {
    /// `core::cell::UnsafeCell` with loom's interface, which gives access only inside a closure.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// Gives a pointer for reading.
        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Gives a pointer for reading and writing.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
