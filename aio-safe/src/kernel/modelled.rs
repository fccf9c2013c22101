//! A model's eventfd.

#![allow(unsafe_code, reason = "borrows a descriptor that is never closed")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aio_sys::Errno;

use crate::sync::{Condvar, Mutex, lock, wait};

/// A count that threads of a model wait for.
#[derive(Debug)]
pub(crate) struct Eventfd {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Eventfd {
    #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            count: Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn signal(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn clear(&self) {
        *lock(&self.count) = 0;
    }

    /// Waits until it is signalled.
    #[cfg(test)]
    pub(crate) fn wait(&self) {
        let mut count = lock(&self.count);
        while *count == 0 {
            count = wait(&self.changed, count);
        }
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: nobody closes standard error.
        unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
    }
}

impl AsRawFd for Eventfd {
    fn as_raw_fd(&self) -> RawFd {
        2
    }
}
