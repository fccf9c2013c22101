//! An eventfd, which says that completions may be there.

#![allow(unsafe_code, reason = "makes an eventfd, reads and writes it")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aio_sys::Errno;

/// An eventfd. The kernel adds 1 to it after it has posted an event.
#[derive(Debug)]
pub(crate) struct Eventfd(OwnedFd);

impl Eventfd {
    /// Makes an eventfd. Reading it never blocks.
    pub(crate) fn new() -> Result<Self, Errno> {
        // SAFETY: the call touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: `eventfd` returned the descriptor just now, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds 1. If the counter is at its limit, it says already what this would say.
    pub(crate) fn signal(&self) {
        let one = 1_u64;
        // SAFETY: `one` is readable in its size.
        unsafe { libc::write(self.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Sets the counter to 0.
    pub(crate) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: `count` is writable in its size.
        unsafe { libc::read(self.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Eventfd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .and_then(Errno::from_raw)
        .unwrap_or(Errno::EIO)
}
