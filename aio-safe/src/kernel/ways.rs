//! Which ways a kernel's requests take, and why.

use std::fmt;

use aio_sys::Errno;

/// Which ways the requests of a [`Hybrid`](super::Hybrid) took so far, and why: the answer of
/// [`Queue::ways`](crate::Queue::ways). What isn't counted here was submitted to the real kernel.
/// Each count starts again at 0 when it overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ways {
    /// Why the real kernel isn't used: the errno of a call. ENOSYS: it is compiled without native
    /// AIO, or a filter says so. EPERM or EACCES: a filter forbids a call. EAGAIN: all that
    /// `/proc/sys/fs/aio-max-nr` allows is in use. `None`: it is used.
    pub without_native: Option<Errno>,
    /// Reads that were carried out within `io_submit`, from the page cache.
    pub page_cache: usize,
    /// Requests that were handed to workers.
    pub workers: usize,
    /// Requests that the real kernel couldn't carry out without waiting, and that were then handed
    /// to workers. They count in neither of the others.
    pub again: usize,
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.without_native {
            None => f.write_str("native: O_DIRECT and polls")?,
            Some(errno) => write!(f, "native: nothing ({errno})")?,
        }
        write!(
            f,
            "; page cache: {} reads; workers: {} requests, and {} that the kernel would have \
             waited for",
            self.page_cache, self.workers, self.again,
        )
    }
}
