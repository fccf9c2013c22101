//! The length of a turn.

use std::time::{Duration, Instant};

/// The end of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// After this time. Operations in flight are still waited for.
    Time(Duration),
    /// After this number of operations.
    Operations(u64),
}

/// Grants operations until the turn ends, and looks at the clock only now and then.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The number of operations that may be submitted before the next look at the clock.
    left: u64,
    /// The end of the time, if the turn is limited by time.
    end: Option<Instant>,
    /// The number of operations that one look at the clock grants.
    every: u64,
}

impl Pace {
    /// One look at the clock grants 32 operations, or one operation if they are slow.
    pub(crate) fn start(limit: Limit, slow: bool) -> Self {
        let every = if slow { 1 } else { 32 };
        match limit {
            Limit::Time(time) => Self {
                left: 0,
                end: Some(Instant::now() + time),
                every,
            },
            Limit::Operations(left) => Self {
                left,
                end: None,
                every,
            },
        }
    }

    /// Returns how many of `want` operations may be submitted now. It is less than `want` only at
    /// the end.
    #[inline]
    pub(crate) fn grant(&mut self, want: usize) -> usize {
        let want = want as u64;
        if self.left < want {
            self.look(want);
        }
        let granted = self.left.min(want);
        self.left -= granted;
        granted as usize
    }

    fn look(&mut self, want: u64) {
        if let Some(end) = self.end {
            if Instant::now() < end {
                self.left += self.every.max(want);
            } else {
                // The rest of the last grant isn't a batch of the usual size.
                self.left = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_kept_exactly() {
        let mut pace = Pace::start(Limit::Operations(10), false);
        assert_eq!([4, 4, 4, 4].map(|want| pace.grant(want)), [4, 4, 2, 0]);
    }

    #[test]
    fn a_time_grants_whole_batches_and_ends() {
        let mut pace = Pace::start(Limit::Time(Duration::from_millis(20)), false);
        let mut granted = 0;
        loop {
            match pace.grant(50) {
                0 => break,
                n => assert_eq!(n, 50),
            }
            granted += 50;
        }
        assert!(granted > 100);
        assert_eq!(pace.grant(1), 0, "it stays over");
    }
}
