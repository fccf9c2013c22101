//! Waiting until requests are over, without a lock: a signal handler may wait.

#![allow(
    unsafe_code,
    reason = "waits on a futex, with a timeout of the kernel's own type"
)]

use std::{
    sync::atomic::{
        AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};

use aio_safe::Errno;

/// A number that changes with each request that is over, and whether a thread sleeps until then.
///
/// Both are in one word, on which threads sleep. So whatever takes the note away that a thread
/// sleeps changes the word as well, and the kernel lets no thread fall asleep on the word that was.
#[derive(Debug)]
pub(crate) struct Progress<W = Futex> {
    word: W,
    /// How many threads wait.
    waiting: AtomicUsize,
}

/// In the word: a thread may be asleep.
const SLEEPS: u32 = 1;
/// What a request that is over adds to the word.
const OVER: u32 = 2;

/// That of this process.
pub(crate) static PROGRESS: Progress = Progress::new(Futex(AtomicU32::new(0)));

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
    Interrupted,
}

/// A word on which threads can sleep.
pub(crate) trait Word {
    /// Acquire.
    fn load(&self) -> u32;

    /// Acquire and Release. The error is the word that was found instead.
    fn exchange(&self, before: u32, after: u32) -> Result<(), u32>;

    /// Sleeps until it is woken, unless the word is another one.
    fn sleep(&self, word: u32, deadline: Option<Duration>) -> Result<(), Errno>;

    /// Wakes all threads that sleep.
    fn wake(&self);
}

impl<W: Word> Progress<W> {
    const fn new(word: W) -> Self {
        Self {
            word,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A request is over. Its status was stored before.
    pub(crate) fn made(&self) {
        let mut word = self.word.load();
        // Release: whoever finds the new word sees the status. Whoever doesn't, and sleeps, has
        // left a note in the word that is replaced here.
        while let Err(found) = (self.word).exchange(word, word.wrapping_add(OVER) & !SLEEPS) {
            word = found;
        }
        if word & SLEEPS != 0 {
            self.word.wake();
        }
    }

    /// Waits until `is_reached`, which is asked before each sleep. Async-signal-safe if that is. A
    /// signal handler ends the wait, but for one with `SA_RESTART` in a wait without a timeout.
    pub(crate) fn wait(
        &self,
        timeout: Option<Duration>,
        mut is_reached: impl FnMut() -> bool,
    ) -> Waited {
        let deadline = timeout.map(|timeout| now().saturating_add(timeout));
        self.waiting.fetch_add(1, Relaxed);
        let waited = loop {
            let word = self.word.load();
            if is_reached() {
                break Waited::Reached;
            }
            let asleep = word | SLEEPS;
            if word != asleep && self.word.exchange(word, asleep).is_err() {
                continue;
            }
            match self.word.sleep(asleep, deadline) {
                Err(Errno::ETIMEDOUT) => {
                    break match is_reached() {
                        true => Waited::Reached,
                        false => Waited::TimedOut,
                    };
                }
                Err(Errno::EINTR) => break Waited::Interrupted,
                _ => {}
            }
        };
        // A signal handler may have forked: in the child it is 0 already.
        let one_less = |waiting: usize| waiting.checked_sub(1);
        let _ = self.waiting.fetch_update(Relaxed, Relaxed, one_less);
        waited
    }

    /// As [`wait`](Self::wait), whatever signals come.
    pub(crate) fn wait_until(&self, mut is_reached: impl FnMut() -> bool) {
        while self.wait(None, &mut is_reached) != Waited::Reached {}
    }

    /// How many threads wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// No other thread waits: this is the child of the process that they are in.
    pub(crate) fn forget_others(&self) {
        self.waiting.store(0, Relaxed);
    }
}

/// A word of this process.
#[derive(Debug)]
pub(crate) struct Futex(AtomicU32);

impl Word for Futex {
    fn load(&self) -> u32 {
        self.0.load(Acquire)
    }

    fn exchange(&self, before: u32, after: u32) -> Result<(), u32> {
        (self.0.compare_exchange(before, after, AcqRel, Acquire)).map(|_| ())
    }

    fn sleep(&self, word: u32, deadline: Option<Duration>) -> Result<(), Errno> {
        let deadline = deadline.map(|deadline| libc::timespec {
            tv_sec: libc::time_t::try_from(deadline.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: deadline.subsec_nanos().into(),
        });
        let deadline = deadline
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // The deadline is on the monotonic clock.
        let wait = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
        let none = std::ptr::null::<u32>();
        let (futex, any) = (self.0.as_ptr(), libc::FUTEX_BITSET_MATCH_ANY);
        // SAFETY: the futex is this value's, and the deadline is readable during the call.
        let answer =
            unsafe { libc::syscall(libc::SYS_futex, futex, wait, word, deadline, none, any) };
        match answer {
            0 => Ok(()),
            _ => Err(crate::fd::last_errno()),
        }
    }

    fn wake(&self) {
        let (wake, all) = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX);
        // SAFETY: the futex is this value's, and the call touches no other memory.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), wake, all) };
    }
}

/// The monotonic clock. Async-signal-safe.
fn now() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, PoisonError};

    use loom::{
        model::Builder,
        sync::{Condvar, Mutex, atomic},
        thread,
    };

    use super::*;

    /// What the kernel does for a futex.
    struct Modelled {
        word: atomic::AtomicU32,
        bucket: Mutex<()>,
        sleepers: Condvar,
    }

    impl Word for Modelled {
        fn load(&self) -> u32 {
            self.word.load(Acquire)
        }

        fn exchange(&self, before: u32, after: u32) -> Result<(), u32> {
            (self.word.compare_exchange(before, after, AcqRel, Acquire)).map(|_| ())
        }

        fn sleep(&self, word: u32, _: Option<Duration>) -> Result<(), Errno> {
            let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            // The kernel's own look at the word comes before or after each change of it, whatever
            // the changes' orderings are: it is a read-modify-write here.
            if self.word.fetch_add(0, AcqRel) == word {
                drop(self.sleepers.wait(bucket));
            }
            Ok(())
        }

        fn wake(&self) {
            drop(self.bucket.lock());
            self.sleepers.notify_all();
        }
    }

    /// So many requests are over, each in its thread. A thread waits for each of them.
    fn model(requests: usize) {
        let progress = Arc::new(Progress::new(Modelled {
            word: atomic::AtomicU32::new(0),
            bucket: Mutex::new(()),
            sleepers: Condvar::new(),
        }));
        let threads: Vec<_> = (1..requests)
            .map(|_| {
                let over = Arc::new(atomic::AtomicBool::new(false));
                let (made, stored) = (Arc::clone(&progress), Arc::clone(&over));
                let thread = thread::spawn(move || {
                    stored.store(true, Relaxed);
                    made.made();
                });
                (over, thread)
            })
            .collect();
        let last = Arc::new(atomic::AtomicBool::new(false));
        let (waits, awaited) = (Arc::clone(&progress), Arc::clone(&last));
        let waiter = thread::spawn(move || {
            waits.wait_until(|| awaited.load(Relaxed));
        });
        last.store(true, Relaxed);
        progress.made();
        for (over, thread) in threads {
            progress.wait_until(|| over.load(Relaxed));
            thread.join().unwrap();
        }
        waiter.join().unwrap();
        assert_eq!(progress.waiting(), 0);
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        loom::model(|| model(1));
    }

    #[test]
    fn two_threads_that_wait_are_woken_by_two_requests() {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| model(2));
    }
}
