//! Counts of a queue's system calls.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How often a queue made each system call.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) io_submit: AtomicUsize,
    pub(crate) io_getevents: AtomicUsize,
    pub(crate) io_cancel: AtomicUsize,
}

impl Calls {
    pub(super) fn count(calls: &AtomicUsize) {
        calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(calls: &AtomicUsize) -> usize {
        calls.load(Relaxed)
    }
}
