//! The real kernel, but every third transfer is short, and every fifth is interrupted.

#![allow(unsafe_code, reason = "keeps the promises of a kernel")]

use std::{
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aio_safe::kernel::{AioContext, Errno, IoEvent, Iocb, Kernel, Linux};

pub(crate) struct Short {
    /// A short transfer is a multiple of this, as it is with direct I/O.
    unit: i64,
    transfers: AtomicU64,
    short: Arc<AtomicU64>,
    interrupted: Arc<AtomicU64>,
}

impl Short {
    pub(crate) fn new(unit: i64, short: Arc<AtomicU64>, interrupted: Arc<AtomicU64>) -> Self {
        Self {
            unit,
            transfers: AtomicU64::new(0),
            short,
            interrupted,
        }
    }

    fn completed(&self, event: &mut IoEvent) {
        // Requests of the queue's own, and errors, stay as they are.
        if event.data == u64::MAX || event.res <= 0 {
            return;
        }
        let n = self.transfers.fetch_add(1, Ordering::Relaxed);
        let half = event.res / 2 / self.unit * self.unit;
        if n % 5 == 4 {
            event.res = -i64::from(Errno::EINTR.raw());
            self.interrupted.fetch_add(1, Ordering::Relaxed);
        } else if n % 3 == 2 && half > 0 {
            event.res = half;
            self.short.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is the real kernel's. Results only get smaller, or become an error. There is
// no `ring`, so every event comes by `io_getevents`. Nothing panics: the unit isn't 0.
unsafe impl Kernel for Short {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        Linux.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller promises to this kernel what Linux wants to be promised.
        unsafe { Linux.io_submit(ctx, iocbs) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller promises that nobody else takes events.
        let n = unsafe { Linux.io_getevents(ctx, min, events, timeout) }?;
        for event in events.iter_mut().take(n) {
            // SAFETY: the kernel has initialised the first `n`.
            self.completed(unsafe { event.assume_init_mut() });
        }
        Ok(n)
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller promises a readable iocb.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context from now on.
        unsafe { Linux.io_destroy(ctx) }
    }
}
