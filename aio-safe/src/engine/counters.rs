//! Counts for [`Stats`](crate::queue::Stats). Nothing on the common way of an operation counts
//! here: the [gate](crate::engine::gate) counts what is submitted and completed.

use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// See the [module](self). All counts may overflow.
#[derive(Default)]
pub(crate) struct Counters {
    /// Requests that the kernel has refused.
    pub(crate) refused: Counter,
    /// Operations whose handle was dropped while they were in flight.
    pub(crate) abandoned: Counter,
    /// Completions that weren't read from the ring.
    pub(crate) by_call: Counter,
    /// Events that matched no request in flight.
    pub(crate) strays: Counter,
}

pub(crate) struct Counter(AtomicUsize);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicUsize::new(0))
    }
}

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}
