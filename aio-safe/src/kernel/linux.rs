//! The real kernel.

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

// SAFETY: that the kernel keeps these promises is how fs/aio.c works: it copies iocbs in io_submit,
// posts an event when the transfer is over, and waits for all of them in io_destroy.
unsafe impl Kernel for Linux {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let mut ctx = AioContext::NONE;
        // SAFETY: `ctx` is a place for a context, and holds none.
        unsafe { aio_sys::io_setup(nr_events, &raw mut ctx) }?;
        Ok(ctx)
    }

    #[inline]
    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // A slice has at most isize::MAX elements.
        // SAFETY: the array is readable in its length, and the caller promises the rest.
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
        // SAFETY: `events` is writable in its length; `timeout` is null or outlives the call.
        unsafe { aio_sys::io_getevents(ctx, min, nr, events.as_mut_ptr().cast(), timeout) }
    }

    #[cfg(not(loom))]
    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let header = std::ptr::with_exposed_provenance(ctx.addr());
        // SAFETY: a context's handle is the address of its ring, which is mapped while it lives.
        unsafe { Ring::of_header(header) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let mut unused = IoEvent::default();
        // SAFETY: the caller promises a readable iocb; the kernel doesn't write the event.
        unsafe { aio_sys::io_cancel(ctx, iocb, &raw mut unused) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context any more.
        unsafe { aio_sys::io_destroy(ctx) }
    }
}
