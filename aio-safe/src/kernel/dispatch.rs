//! The kernel of a queue: Linux, called directly, or another one, called through a table.
//!
//! `io_submit` of Linux is inlined into the code that calls it. With a frame between that code and
//! the system call, a `ret` would follow the call. That costs up to 400 ns on some processors: see
//! [`aio_sys`].

#![allow(unsafe_code, reason = "hands a call on")]

use std::{any::Any, ops::Deref};

use aio_abi::{AioContext, Iocb};
use aio_sys::Errno;

use super::{Kernel, Linux};

/// See the [module](self). Dereferences to the kernel, for the calls that need not be inlined.
pub(crate) enum Dispatch {
    /// The Linux kernel that this runs on.
    Linux,
    Other(Box<dyn Kernel>),
}

impl Dispatch {
    pub(crate) fn new<K: Kernel>(kernel: K) -> Self {
        if (&kernel as &dyn Any).is::<Linux>() {
            Self::Linux
        } else {
            Self::Other(Box::new(kernel))
        }
    }

    /// As [`Kernel::io_submit`].
    ///
    /// # Errors
    ///
    /// As [`Kernel::io_submit`].
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_submit`] requires.
    #[inline(always)]
    pub(crate) unsafe fn io_submit(
        &self,
        ctx: AioContext,
        iocbs: &[*mut Iocb],
    ) -> Result<usize, Errno> {
        match self {
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            Self::Linux => unsafe { Linux.io_submit(ctx, iocbs) },
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            Self::Other(kernel) => unsafe { submit_to(&**kernel, ctx, iocbs) },
        }
    }
}

/// Submits to another kernel than Linux.
///
/// # Safety
///
/// As [`Kernel::io_submit`] requires.
// Cold, because it is inlined nowhere: the code for Linux stays small.
#[cold]
unsafe fn submit_to(
    kernel: &dyn Kernel,
    ctx: AioContext,
    iocbs: &[*mut Iocb],
) -> Result<usize, Errno> {
    // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and unused
    // until the events: the caller promises that.
    unsafe { kernel.io_submit(ctx, iocbs) }
}

impl Deref for Dispatch {
    type Target = dyn Kernel;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Linux => &Linux,
            Self::Other(kernel) => &**kernel,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn linux_is_called_directly() {
        assert!(matches!(Dispatch::new(Linux), Dispatch::Linux));
    }
}
