//! Which ways requests took.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Parts;
use crate::kernel::Ways;

/// Counts of requests. Those of the real kernel aren't counted: the queue knows the sum.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) page_cache: Count,
    pub(super) workers: Count,
    pub(super) again: Count,
}

/// A count of requests.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n, Relaxed);
    }
}

impl Counts {
    pub(super) fn ways(&self, parts: &Parts) -> Ways {
        Ways {
            without_native: parts.native.as_ref().err().copied(),
            page_cache: self.page_cache.0.load(Relaxed),
            workers: self.workers.0.load(Relaxed),
            again: self.again.0.load(Relaxed),
        }
    }
}
