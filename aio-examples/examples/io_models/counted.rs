//! A queue of native AIO whose system calls are counted.

#![allow(unsafe_code, reason = "keeps the promises of a kernel")]

use std::{mem::MaybeUninit, sync::Arc, time::Duration};

use aio_safe::{
    Errno, Queue,
    error::{ReapError, SetupError},
    kernel::{AioContext, IoEvent, Iocb, Kernel, Linux, Ring},
};
use anyhow::Result;

use crate::calls::{Call, Calls};

/// Makes a queue that counts its system calls. Making and closing it isn't counted, as a program
/// does that once.
pub(crate) fn queue(depth: usize, calls: &Arc<Calls>) -> Result<Queue, SetupError> {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    Queue::with_kernel(depth, Counted(Arc::clone(calls)))
}

/// Waits until a completion was taken.
pub(crate) fn wait(queue: &Queue) -> Result<()> {
    match queue.reap(1, None) {
        Ok(_) | Err(ReapError::Interrupted) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The real kernel, with a count of its calls.
struct Counted(Arc<Calls>);

// SAFETY: every call is the real kernel's, with the same arguments and the same result, and so is
// the ring. Counting doesn't panic.
unsafe impl Kernel for Counted {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        Linux.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: `Kernel::io_submit` demands that the iocbs and what they point to stay valid and
        // unused until their events. `Linux` needs the same, and gets the same iocbs.
        self.0
            .count(Call::IoSubmit, unsafe { Linux.io_submit(ctx, iocbs) })
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: `Kernel::io_getevents` demands that nobody else takes events meanwhile, which is
        // all that `Linux` needs.
        let taken = unsafe { Linux.io_getevents(ctx, min, events, timeout) };
        self.0.count(Call::IoGetevents, taken)
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        // SAFETY: `Kernel::ring` demands that the context lives while the ring is used. The ring is
        // handed on, and not kept here.
        unsafe { Linux.ring(ctx) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: `Kernel::io_cancel` demands that the iocb is readable during the call.
        self.0
            .count(Call::IoCancel, unsafe { Linux.io_cancel(ctx, iocb) })
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: `Kernel::io_destroy` demands that nobody uses context or ring from now on, and
        // this wrapper keeps neither.
        unsafe { Linux.io_destroy(ctx) }
    }
}
