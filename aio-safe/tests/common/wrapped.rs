//! The real kernel, looked at or with something taken away.

use std::{
    mem::MaybeUninit,
    sync::{Arc, Mutex},
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_safe::{
    Errno,
    kernel::{Kernel, Linux, Ring},
};

/// The real kernel, and what it answered to `io_setup`.
#[derive(Clone, Default)]
pub(crate) struct Spy(Arc<Mutex<Option<AioContext>>>);

impl Spy {
    pub(crate) fn context(&self) -> AioContext {
        self.0.lock().unwrap().expect("io_setup was called")
    }
}

/// The real kernel, whose ring can't be read in user space.
#[derive(Clone, Default)]
pub(crate) struct WithoutRing(pub(crate) Spy);

// SAFETY: every call is the real kernel's.
unsafe impl Kernel for Spy {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let ctx = Linux.io_setup(nr_events)?;
        *self.0.lock().unwrap() = Some(ctx);
        Ok(ctx)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_submit(ctx, iocbs) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        // SAFETY: the caller's promise.
        unsafe { Linux.ring(ctx) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_destroy(ctx) }
    }
}

// SAFETY: every call is the real kernel's.
unsafe impl Kernel for WithoutRing {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        self.0.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_submit(ctx, iocbs) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { Linux.io_destroy(ctx) }
    }
}
