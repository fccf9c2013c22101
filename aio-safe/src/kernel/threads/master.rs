//! The master: it knows the contexts by their handles.

#![allow(unsafe_code, reason = "hands calls on to contexts")]

use std::{mem::MaybeUninit, sync::Arc, time::Duration};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;

use super::{context::Context, device::Device, pool::Pool};
use crate::{
    kernel::Ring,
    sync::{Mutex, lock},
};

/// See the [module](self).
pub(crate) struct Master<D: Device> {
    pool: Arc<Pool<D>>,
    contexts: Mutex<Vec<Arc<Context<D>>>>,
}

impl<D: Device> Master<D> {
    pub(crate) fn new(pool: Arc<Pool<D>>) -> Self {
        Self {
            pool,
            contexts: Mutex::new(Vec::new()),
        }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.pool.workers.threads()
    }

    fn context(&self, ctx: AioContext) -> Result<Arc<Context<D>>, Errno> {
        // A child has copies of contexts without their workers, and of locks that these may hold.
        if !self.pool.is_current() {
            return Err(Errno::EINVAL);
        }
        let contexts = lock(&self.contexts);
        let found = contexts.iter().find(|context| context.handle() == ctx);
        found.cloned().ok_or(Errno::EINVAL)
    }

    /// As [`Kernel::io_setup`](crate::kernel::Kernel::io_setup).
    ///
    /// # Errors
    ///
    /// EINVAL for a number of events that the real kernel doesn't take either, and in a child of
    /// the process that made the pool. ENOMEM.
    pub(crate) fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let context = Context::setup(&self.pool, nr_events, None)?;
        let ctx = context.handle();
        lock(&self.contexts).push(context);
        Ok(ctx)
    }

    /// As [`Kernel::io_submit`](crate::kernel::Kernel::io_submit).
    ///
    /// # Errors
    ///
    /// As the real kernel's. EAGAIN also if no worker can be started.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn io_submit(
        &self,
        ctx: AioContext,
        iocbs: &[*mut Iocb],
    ) -> Result<usize, Errno> {
        // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
        // unused until the events: the caller promises that.
        unsafe { self.context(ctx)?.submit(iocbs) }
    }

    /// As [`Kernel::io_getevents`](crate::kernel::Kernel::io_getevents).
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such context, or if it is destroyed meanwhile.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let context = self.context(ctx)?;
        // SAFETY: nobody else takes events meanwhile, which the caller promises.
        unsafe { context.take(min, events, timeout) }
    }

    /// As [`Kernel::ring`](crate::kernel::Kernel::ring).
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let context = self.context(ctx).ok()?;
        // SAFETY: the memory lives as long as the context, which the caller keeps while the ring is
        // used.
        unsafe { context.ring().reader() }
    }

    /// As [`Kernel::io_cancel`](crate::kernel::Kernel::io_cancel).
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such request, or if a worker carries it out.
    pub(crate) fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        self.context(ctx)?.cancel(iocb)
    }

    /// As [`Kernel::end_waits`](crate::kernel::Kernel::end_waits).
    pub(crate) fn end_waits(&self, ctx: AioContext) {
        if let Ok(context) = self.context(ctx) {
            context.cancel_endless();
        }
    }

    /// As [`Kernel::io_destroy`](crate::kernel::Kernel::io_destroy).
    ///
    /// # Errors
    ///
    /// EINVAL if there is no such context.
    pub(crate) fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        let context = self.context(ctx)?;
        context.destroy()?;
        lock(&self.contexts).retain(|other| !Arc::ptr_eq(other, &context));
        #[cfg(loom)]
        context.let_go();
        Ok(())
    }
}
