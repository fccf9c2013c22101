//! Watches the threads: what each is doing, its errors, and whether one hangs.

use std::{
    fmt::Write as _,
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::stress::plan::Plan;

/// The number of errors whose texts are kept. All are counted.
const MOST_ERRORS: usize = 20;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    Preparing,
    Submitting,
    /// Waiting for the right to submit, because another thread drains.
    Permit,
    /// Waiting for a slot in a full queue.
    Room,
    Wait,
    WaitTimeout,
    TryTake,
    Await,
    Cancel,
    Drop,
    Reap,
    Drain,
    Close,
    Setup,
    Fork,
    /// Waiting for the other threads, or done.
    Meeting,
}

const PHASES: [Phase; 16] = [
    Phase::Preparing,
    Phase::Submitting,
    Phase::Permit,
    Phase::Room,
    Phase::Wait,
    Phase::WaitTimeout,
    Phase::TryTake,
    Phase::Await,
    Phase::Cancel,
    Phase::Drop,
    Phase::Reap,
    Phase::Drain,
    Phase::Close,
    Phase::Setup,
    Phase::Fork,
    Phase::Meeting,
];

/// The state of a thread that other threads see.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// The number of the present step, from 0.
    pub(super) step: AtomicU64,
    phase: AtomicU8,
    pub(super) operations: AtomicU64,
    pub(super) checks: AtomicU64,
    /// The thread's number in the system.
    pub(super) tid: AtomicU64,
}

impl Status {
    /// Notes what the thread does next.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// A number that grows with each step and each check. It doesn't grow with repeated attempts.
    fn progress(&self) -> u64 {
        self.step.load(Ordering::Relaxed) + self.checks.load(Ordering::Relaxed)
    }

    fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed))]
    }
}

/// The errors of all threads.
#[derive(Debug, Default)]
pub(super) struct Errors {
    texts: Mutex<Vec<String>>,
    count: AtomicU64,
    stop: AtomicBool,
}

impl Errors {
    /// Adds an error, and stops all threads.
    pub(super) fn add(&self, text: String) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < MOST_ERRORS {
            texts.push(text);
        }
        drop(texts);
        self.stop();
    }

    /// Stops all threads.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notices threads without progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Duration,
    seen: Vec<(u64, Instant)>,
}

impl Watchdog {
    pub(super) fn new(threads: usize, limit: Duration) -> Self {
        Self {
            limit,
            seen: vec![(u64::MAX, Instant::now()); threads],
        }
    }

    /// Returns a thread that has made no progress for too long.
    pub(super) fn look(&mut self, threads: &[Status]) -> Option<usize> {
        for (seen, status) in self.seen.iter_mut().zip(threads) {
            let progress = status.progress();
            if progress != seen.0 || status.phase() == Phase::Meeting {
                *seen = (progress, Instant::now());
            }
        }
        self.seen
            .iter()
            .position(|(_, since)| since.elapsed() > self.limit)
    }

    /// Describes what each thread is doing, and since when.
    pub(super) fn describe(&self, threads: &[Status], seed: u64) -> String {
        let mut text = String::new();
        for (number, (status, (_, since))) in threads.iter().zip(&self.seen).enumerate() {
            let step = status.step.load(Ordering::Relaxed);
            let tid = status.tid.load(Ordering::Relaxed);
            let wchan = fs::read_to_string(format!("/proc/self/task/{tid}/wchan"))
                .ok()
                .filter(|wchan| !wchan.is_empty() && wchan != "0")
                .unwrap_or_else(|| "user space".into());
            let _ = writeln!(
                text,
                "  thread {number}: {:?} for {:.1} s, in {wchan}; step {step} is {:?}",
                status.phase(),
                since.elapsed().as_secs_f64(),
                Plan::nth_step(seed, number, step),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_by_their_numbers() {
        for (n, phase) in PHASES.into_iter().enumerate() {
            assert_eq!(phase as usize, n);
        }
    }

    #[test]
    fn a_thread_that_stands_still_is_noticed() {
        let threads = [Status::default(), Status::default()];
        let mut dog = Watchdog::new(2, Duration::from_millis(30));
        let start = Instant::now();
        let stuck = loop {
            threads[0].step.fetch_add(1, Ordering::Relaxed);
            if let Some(stuck) = dog.look(&threads) {
                break stuck;
            }
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(stuck, 1);
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(dog.describe(&threads, 1).contains("thread 1: Preparing"));
        threads[1].enter(Phase::Meeting);
        assert_eq!(dog.look(&threads), None);
    }
}
