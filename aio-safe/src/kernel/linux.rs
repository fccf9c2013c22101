//! The real kernel: Linux's own system calls.

#![allow(unsafe_code, reason = "makes the system calls")]

use std::{mem::MaybeUninit, time::Duration};

use aio_abi::{AioContext, IoEvent, Iocb, Timespec};
use aio_sys::Errno;

use super::Kernel;
#[cfg(not(loom))]
use super::Ring;

/// The system calls of the Linux kernel that this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

// SAFETY: fs/aio.c keeps each promise. It copies iocbs in `io_submit`, posts one event when a
// request is over, and waits for all requests in `io_destroy`. A ring shows events only after they
// are written.
unsafe impl Kernel for Linux {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let mut ctx = AioContext::NONE;
        // SAFETY: `ctx` is writable during the call, and holds no context.
        unsafe { aio_sys::io_setup(nr_events, &raw mut ctx) }?;
        Ok(ctx)
    }

    #[inline(always)]
    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // A slice has at most isize::MAX elements.
        // SAFETY: the array is readable in its length. The caller promises that nobody else uses
        // the iocbs during the call, and that their memory stays valid until the events.
        unsafe { aio_sys::io_submit(ctx, iocbs.len() as isize, iocbs.as_ptr()) }
    }

    #[inline]
    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let timeout = timeout.map(Timespec::from);
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        let nr = events.len() as isize;
        let min = min.min(events.len()) as isize;
        // SAFETY: `events` is writable in its length. `timeout` is null, or readable during the
        // call.
        unsafe { aio_sys::io_getevents(ctx, min, nr, events.as_mut_ptr().cast(), timeout) }
    }

    #[cfg(not(loom))]
    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let header = std::ptr::with_exposed_provenance(ctx.addr());
        // SAFETY: a context's handle is the address of its ring, which is mapped while the context
        // lives. The caller promises that it lives while the ring is used.
        unsafe { Ring::of_header(header) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let mut unused = IoEvent::default();
        // SAFETY: the caller promises that the iocb is readable during the call. `unused` is
        // writable.
        unsafe { aio_sys::io_cancel(ctx, iocb, &raw mut unused) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody reads the context's ring or submits to it from
        // now on.
        unsafe { aio_sys::io_destroy(ctx) }
    }
}
