//! Takes the time of single operations, or doesn't. A turn is compiled for each of both.

use std::time::Instant;

use hdrhistogram::Histogram;

/// What a turn does with the times of its operations.
pub(crate) trait Timing: Send + Sized + 'static {
    /// The time of a submission.
    type Stamp: Copy + Send + 'static;

    /// An empty value that is joined later, for tasks that may not borrow.
    #[cfg(feature = "peers")]
    fn fork(&self) -> Self;

    /// Adds the times of another value.
    fn join(&mut self, other: Self);

    /// Takes note that an operation is being submitted.
    fn submitted(&self) -> Self::Stamp;

    /// Takes note that an operation's result was taken.
    fn taken(&mut self, submitted: Self::Stamp);
}

/// Takes no times.
#[derive(Debug)]
pub(crate) struct Untimed;

impl Timing for Untimed {
    type Stamp = ();

    #[cfg(feature = "peers")]
    fn fork(&self) -> Self {
        Self
    }

    fn join(&mut self, _: Self) {}

    #[inline]
    fn submitted(&self) {}

    #[inline]
    fn taken(&mut self, (): ()) {}
}

/// Puts every operation's time into a histogram, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Timed(pub(crate) Histogram<u64>);

impl Timed {
    pub(crate) fn new() -> Self {
        // Nothing takes longer than a minute. Percentiles have three digits.
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are in order"))
    }
}

impl Timing for Timed {
    type Stamp = Instant;

    #[cfg(feature = "peers")]
    fn fork(&self) -> Self {
        Self::new()
    }

    fn join(&mut self, other: Self) {
        self.0.add(other.0).expect("all have the same bounds");
    }

    #[inline]
    fn submitted(&self) -> Instant {
        Instant::now()
    }

    #[inline]
    fn taken(&mut self, submitted: Instant) {
        let ns = submitted.elapsed().as_nanos();
        self.0
            .saturating_record(u64::try_from(ns).unwrap_or(u64::MAX));
    }
}
