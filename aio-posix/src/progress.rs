//! Waiting until requests are over, without a lock: a signal handler may wait.

#![allow(
    unsafe_code,
    reason = "waits on a futex, with a timeout of the kernel's own type"
)]

use std::{
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use aio_safe::Errno;

/// A number that changes with each request that is over.
#[derive(Debug)]
pub(crate) struct Progress {
    count: AtomicU32,
    /// A thread may be asleep.
    sleeps: AtomicBool,
    /// How many threads wait.
    waiting: AtomicUsize,
}

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
            sleeps: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A request is over. Its status was stored before.
    pub(crate) fn made(&self) {
        // Either this sees that a thread sleeps, or that thread sees the new count, and the status
        // with it: all four accesses are SeqCst.
        self.count.fetch_add(1, SeqCst);
        if self.sleeps.load(SeqCst) && self.sleeps.swap(false, SeqCst) {
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
            let count = self.count.load(SeqCst);
            if is_reached() {
                break Waited::Reached;
            }
            self.sleeps.store(true, SeqCst);
            if self.count.load(SeqCst) != count {
                continue;
            }
            match self.sleep(count, deadline) {
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
        self.sleeps.store(false, Relaxed);
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
