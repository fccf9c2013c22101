//! Watching the threads: one that doesn't get on is a lost wake-up, or a deadlock.

#![forbid(unsafe_code)]

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use super::acts::Status;

/// Notices threads that don't get on.
pub(super) struct Watchdog {
    patience: Duration,
    seen: Vec<(u64, Instant)>,
}

impl Watchdog {
    pub(super) fn new(threads: usize, patience: Duration) -> Self {
        Self {
            patience,
            seen: vec![(0, Instant::now()); threads],
        }
    }

    /// What each thread is at, if one has not got on for too long.
    pub(super) fn look(&mut self, threads: &[Arc<Status>]) -> Option<String> {
        let now = Instant::now();
        let mut stuck = None;
        for (number, (status, seen)) in threads.iter().zip(&mut self.seen).enumerate() {
            let moved = status.moved();
            if status.is_idle() || moved != seen.0 {
                *seen = (moved, now);
            } else if now.duration_since(seen.1) >= self.patience {
                stuck = stuck.or(Some(number));
            }
        }
        let stuck = stuck?;
        let mut text = format!(
            "thread {stuck} has been in {} for {} s:",
            threads[stuck].last(),
            self.patience.as_secs()
        );
        for (number, (status, seen)) in threads.iter().zip(&self.seen).enumerate() {
            let state = if status.is_idle() { "idle" } else { "busy" };
            let _ = write!(
                text,
                "\n  thread {number}: {state}, last action {} {:.1} s ago",
                status.last(),
                now.duration_since(seen.1).as_secs_f64()
            );
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_that_stands_still_is_noticed() {
        let threads: Vec<_> = (0..3).map(|_| Arc::<Status>::default()).collect();
        threads[0].set_idle(false);
        threads[1].set_idle(false);
        let mut dog = Watchdog::new(3, Duration::from_millis(30));
        let start = Instant::now();
        let text = loop {
            threads[0].set_idle(false);
            if let Some(text) = dog.look(&threads) {
                break text;
            }
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(text.starts_with("thread 1 has been in"), "{text}");
        threads[1].set_idle(true);
        assert_eq!(dog.look(&threads), None);
    }
}
