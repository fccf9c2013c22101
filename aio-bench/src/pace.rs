//! How long a turn lasts.

use std::time::{Duration, Instant};

/// What ends a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// So much time, and what is in flight then.
    Time(Duration),
    /// So many operations.
    Operations(u64),
}

/// Says how many operations may still be submitted, and looks at the clock only every so often.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// May be submitted before the clock has to be looked at again.
    left: u64,
    /// When the time is up, if there is a time.
    end: Option<Instant>,
    /// How many operations one look at the clock is good for.
    every: u64,
}

impl Pace {
    /// For operations of which 32 don't take long, a look at the clock is good for 32.
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

    /// How many of `want` operations may be submitted now. Fewer than that only at the end.
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
                // What was left over of the last look isn't a batch of the usual size.
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
