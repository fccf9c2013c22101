//! The eventfd that a request's completion signals. It is a real one.

#![allow(
    unsafe_code,
    reason = "writes to a descriptor that is known by its number"
)]

use std::os::fd::{BorrowedFd, RawFd};

use aio_safe::Errno;

/// `eventfd_ctx_fdget` (`fs/eventfd.c`).
///
/// # Errors
///
/// EBADF: it isn't open. EINVAL: it is no eventfd.
pub(super) fn check(number: u32) -> Result<(), Errno> {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}"));
    let link = link.map_err(|_| Errno::EBADF)?;
    match link.to_str() {
        Some("anon_inode:[eventfd]") => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// Adds 1 to an eventfd.
pub(super) fn signal(number: u32) {
    // SAFETY: an eventfd in `aio_resfd` stays open until the context is destroyed, which the caller
    // of `io_submit` promised, and the context lives. `check` has found it open, so its number
    // isn't -1.
    let eventfd = unsafe { BorrowedFd::borrow_raw(number as RawFd) };
    // It fails if the count is at its limit. Then it says already what this would say.
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}
