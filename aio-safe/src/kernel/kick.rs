//! The request that ends another thread's wait in the kernel: a read of 0 bytes from a pipe, which
//! is over at once.

#![allow(unsafe_code, reason = "makes a pipe")]

use std::os::fd::{FromRawFd, OwnedFd};

/// Its `aio_data`. No slot has it.
pub(crate) const KICK: u64 = u64::MAX;

/// A pipe whose writing end is closed, so that a read ends at once. Filters on system calls don't
/// forbid pipes.
pub(crate) fn pipe() -> Option<OwnedFd> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` is writable, and has room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: `pipe2` returned both descriptors just now, and nobody else owns them.
    let [reader, _writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Some(reader)
}
