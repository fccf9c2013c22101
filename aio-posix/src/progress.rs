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

/// A number that changes with each request that is over.
#[derive(Debug)]
pub(crate) struct Progress {
    /// It grows by 2. The lowest bit says that a thread may be asleep. Both are in one word, so that
    /// whoever clears the bit changes the number: a thread that sets the bit again after that has
    /// seen the new number.
    count: AtomicU32,
    /// How many threads wait.
    waiting: AtomicUsize,
}

/// A thread may be asleep.
const SLEEPS: u32 = 1;

/// That of this process.
pub(crate) static PROGRESS: Progress = Progress::new();

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
    Interrupted,
}

impl Progress {
    const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A request is over. Its status was stored before.
    pub(crate) fn made(&self) {
        // AcqRel: whoever sees the new number sees the status.
        let next = |count: u32| Some((count | SLEEPS).wrapping_add(1));
        let before = self.count.fetch_update(AcqRel, Relaxed, next);
        if before.is_ok_and(|before| before & SLEEPS != 0) {
            let (wake, all) = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX);
            // SAFETY: the futex is this value's, and the call touches no other memory.
            unsafe { libc::syscall(libc::SYS_futex, self.count.as_ptr(), wake, all) };
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
            // Acquire: what was over before this number was reached is seen.
            let count = self.count.load(Acquire);
            if is_reached() {
                break Waited::Reached;
            }
            let asleep = count | SLEEPS;
            let marked = self.count.compare_exchange(count, asleep, Relaxed, Relaxed);
            // A request was over meanwhile, or another thread has set the bit.
            if marked.is_err() {
                continue;
            }
            match self.sleep(asleep, deadline) {
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
        self.waiting.fetch_sub(1, Relaxed);
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
        self.count.fetch_and(!SLEEPS, Relaxed);
    }

    /// Sleeps as long as the count is this one.
    fn sleep(&self, count: u32, deadline: Option<Duration>) -> Result<(), Errno> {
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
        let (futex, any) = (self.count.as_ptr(), libc::FUTEX_BITSET_MATCH_ANY);
        // SAFETY: the futex is this value's, and the deadline is readable during the call.
        let answer =
            unsafe { libc::syscall(libc::SYS_futex, futex, wait, count, deadline, none, any) };
        match answer {
            0 => Ok(()),
            _ => Err(crate::fd::last_errno()),
        }
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
    use std::{
        sync::{atomic::Ordering::SeqCst, mpsc},
        thread,
    };

    use super::*;

    /// A thread waits for every third request. Another one ends three, and goes on when the thread
    /// has noticed. So nothing else wakes the thread if it sleeps through the third.
    #[test]
    fn no_thread_sleeps_through_what_it_waits_for() {
        const REQUESTS: usize = 300_000;
        static MADE: Progress = Progress::new();
        static OVER: AtomicUsize = AtomicUsize::new(0);
        static NOTICED: AtomicUsize = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for request in (3..=REQUESTS).step_by(3) {
                MADE.wait_until(|| OVER.load(SeqCst) >= request);
                NOTICED.store(request, SeqCst);
            }
            sender.send(())
        });
        thread::spawn(|| {
            for request in 1..=REQUESTS {
                OVER.store(request, SeqCst);
                MADE.made();
                while request % 3 == 0 && NOTICED.load(SeqCst) < request {
                    thread::yield_now();
                }
            }
        });
        let waited = receiver.recv_timeout(Duration::from_secs(60));
        assert_eq!(waited, Ok(()), "after {} requests", NOTICED.load(SeqCst));
    }
}
