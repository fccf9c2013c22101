//! The kernel of a queue: Linux or [`Hybrid`], called directly, or another one, called through a
//! table.
//!
//! `io_submit` of Linux is inlined into the code that calls it. With a frame between that code and
//! the system call, a `ret` would follow the call. That costs up to 400 ns on some processors: see
//! [`aio_sys`].

#![allow(unsafe_code, reason = "hands a call on")]

use std::{any::Any, mem::MaybeUninit, ops::Deref, os::fd::AsRawFd, sync::Arc, time::Duration};

use aio_abi::{AioContext, IoEvent, Iocb, IocbFlags};
use aio_sys::Errno;

#[cfg(not(loom))]
use super::Hybrid;
use super::{Calls, Eventfd, Kernel, Linux};

/// See the [module](self). Dereferences to the kernel, for the calls that need not be inlined.
pub(crate) struct Dispatch {
    target: Target,
    /// What few queues have. In a box, so that the others look at one word.
    extras: Option<Box<Extras>>,
}

/// What a queue does besides the calls.
#[derive(Default)]
pub(crate) struct Extras {
    /// The eventfd that each request's completion signals, if there is one.
    pub(crate) eventfd: Option<Arc<Eventfd>>,
    /// The counts of calls, if they are counted.
    pub(crate) calls: Option<Calls>,
}

enum Target {
    /// The Linux kernel that this runs on.
    Linux,
    #[cfg(not(loom))]
    Hybrid(Box<Hybrid>),
    Other(Box<dyn Kernel>),
}

impl Dispatch {
    pub(crate) fn new<K: Kernel>(kernel: K, extras: Extras) -> Self {
        let target = Target::of(kernel);
        let any = extras.eventfd.is_some() || extras.calls.is_some();
        Self {
            target,
            extras: any.then(|| Box::new(extras)),
        }
    }

    /// The eventfd that each request's completion signals.
    pub(crate) fn eventfd(&self) -> Option<&Arc<Eventfd>> {
        self.extras.as_ref()?.eventfd.as_ref()
    }

    /// The counts of calls, if they are counted.
    pub(crate) fn calls(&self) -> Option<&Calls> {
        self.extras.as_ref()?.calls.as_ref()
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
        if let Some(extras) = &self.extras {
            // SAFETY: nobody else uses the iocbs during the call, which the caller promises.
            unsafe { extras.before_submit(iocbs) };
        }
        let is_for_linux = match &self.target {
            Target::Linux => true,
            #[cfg(not(loom))]
            // SAFETY: nobody else uses the iocbs during the call, which the caller promises.
            Target::Hybrid(kernel) => unsafe { kernel.is_all_native(iocbs) },
            Target::Other(_) => false,
        };
        if is_for_linux {
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            unsafe { Linux.io_submit(ctx, iocbs) }
        } else {
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            unsafe { submit_to(self, ctx, iocbs) }
        }
    }

    /// As [`Kernel::io_getevents`].
    ///
    /// # Errors
    ///
    /// As [`Kernel::io_getevents`].
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_getevents`] requires.
    pub(crate) unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        if let Some(calls) = self.calls() {
            Calls::count(&calls.io_getevents);
        }
        // SAFETY: nobody else takes events of this context during the call, which the caller
        // promises.
        unsafe { (**self).io_getevents(ctx, min, events, timeout) }
    }

    /// As [`Kernel::io_cancel`].
    ///
    /// # Errors
    ///
    /// As [`Kernel::io_cancel`].
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_cancel`] requires.
    pub(crate) unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        if let Some(calls) = self.calls() {
            Calls::count(&calls.io_cancel);
        }
        // SAFETY: the iocb stays readable during the call, which the caller promises.
        unsafe { (**self).io_cancel(ctx, iocb) }
    }
}

impl Extras {
    /// Counts the call, and makes the completions of these requests signal the eventfd.
    ///
    /// # Safety
    ///
    /// Each pointer is to an iocb that nobody else uses during the call.
    #[cold]
    unsafe fn before_submit(&self, iocbs: &[*mut Iocb]) {
        if let Some(calls) = &self.calls {
            Calls::count(&calls.io_submit);
        }
        let Some(eventfd) = &self.eventfd else {
            return;
        };
        for &iocb in iocbs {
            // SAFETY: the pointer is to an iocb that nobody else uses, which the caller promises.
            let iocb = unsafe { &mut *iocb };
            iocb.aio_flags |= IocbFlags::RESFD;
            iocb.aio_resfd = eventfd.as_raw_fd() as u32;
        }
    }
}

/// Submits what isn't for Linux alone.
///
/// # Safety
///
/// As [`Kernel::io_submit`] requires.
// Cold, because it is inlined nowhere: the code for Linux stays small.
#[cold]
unsafe fn submit_to(
    kernel: &Dispatch,
    ctx: AioContext,
    iocbs: &[*mut Iocb],
) -> Result<usize, Errno> {
    // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and unused
    // until the events: the caller promises that.
    unsafe { (**kernel).io_submit(ctx, iocbs) }
}

impl Deref for Dispatch {
    type Target = dyn Kernel;

    fn deref(&self) -> &Self::Target {
        match &self.target {
            Target::Linux => &Linux,
            #[cfg(not(loom))]
            Target::Hybrid(kernel) => &**kernel,
            Target::Other(kernel) => &**kernel,
        }
    }
}

impl Target {
    fn of<K: Kernel>(kernel: K) -> Self {
        let mut kernel = Some(kernel);
        let any: &mut dyn Any = &mut kernel;
        if any.is::<Option<Linux>>() {
            return Self::Linux;
        }
        #[cfg(not(loom))]
        if let Some(hybrid) = any.downcast_mut::<Option<Hybrid>>() {
            return Self::Hybrid(Box::new(hybrid.take().expect("it was put there")));
        }
        Self::Other(Box::new(kernel.take().expect("it was put there")))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn linux_is_called_directly() {
        assert!(matches!(Target::of(Linux), Target::Linux));
    }

    #[test]
    fn the_hybrid_is_called_directly() {
        assert!(matches!(Target::of(Hybrid::new()), Target::Hybrid(_)));
    }
}
