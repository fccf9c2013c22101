//! Taking the time of single operations, or not: a turn is compiled for each.

use std::time::Instant;

use hdrhistogram::Histogram;

/// What a turn does with the time of its operations.
pub(crate) trait Timing: Send + Sized + 'static {
    /// When an operation was submitted.
    type Stamp: Copy + Send + 'static;

    /// One that is empty, to be joined later: for tasks that may not borrow.
    #[cfg(feature = "peers")]
    fn fork(&self) -> Self;

    /// Takes over what another one has seen.
    fn join(&mut self, other: Self);

    /// An operation is being submitted.
    fn submitted(&self) -> Self::Stamp;

    /// Its result was taken.
    fn taken(&mut self, submitted: Self::Stamp);
}

/// No time is taken.
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

/// Every operation's time is put into a histogram, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Timed(pub(crate) Histogram<u64>);

impl Timed {
    pub(crate) fn new() -> Self {
        // A minute is as long as anything can take; three digits are what percentiles are told with.
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
