//! Submitting to a context.

#![allow(
    unsafe_code,
    reason = "reads and writes iocbs that its callers point to"
)]

use std::sync::Arc;

use aio_abi::{Iocb, KIOCB_KEY};
use aio_sys::Errno;
use arrayvec::ArrayVec;

use super::{
    context::Context,
    device::{Device, Request},
    job::Job,
    workers::Task,
};
use crate::sync::lock;

/// How many jobs are handed to the workers at a time.
const TURN: usize = 64;

impl<D: Device> Context<D> {
    /// As [`Kernel::io_submit`](crate::kernel::Kernel::io_submit).
    ///
    /// # Errors
    ///
    /// As the real kernel's. EAGAIN also if no worker can be started.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn submit(self: &Arc<Self>, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let mut submission = Submission::new(self);
        let mut accepted = 0;
        for (n, &iocb) in iocbs.iter().enumerate() {
            let next = iocbs.get(n + 1).copied();
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            match unsafe { submission.add(iocb, next, false) } {
                Ok(()) => accepted += 1,
                Err(errno) if accepted == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(accepted)
    }
}

/// Requests that are submitted together. Dropping it hands them to the workers.
pub(crate) struct Submission<'c, D: Device> {
    context: &'c Arc<Context<D>>,
    jobs: ArrayVec<Job<D>, TURN>,
    /// Whether the jobs are started ones.
    started: bool,
    /// Whether there is a worker.
    has_worker: bool,
    last: D::Last,
}

impl<'c, D: Device> Submission<'c, D> {
    pub(crate) fn new(context: &'c Arc<Context<D>>) -> Self {
        Self {
            context,
            jobs: ArrayVec::new(),
            started: false,
            has_worker: false,
            last: D::Last::default(),
        }
    }

    /// Checks and accepts one request. `next` is the one that will be added next. `started` says
    /// that its device works on it already.
    ///
    /// # Errors
    ///
    /// As the real kernel's, which are found in the same order. EAGAIN also if no worker can be
    /// started.
    ///
    /// # Safety
    ///
    /// Nobody else uses the two iocbs during the call. The memory that the first one names stays
    /// valid and unused until its event.
    pub(crate) unsafe fn add(
        &mut self,
        iocb: *mut Iocb,
        next: Option<*mut Iocb>,
        started: bool,
    ) -> Result<(), Errno> {
        if !self.has_worker && !self.context.pool.workers.have_one() {
            return Err(Errno::EAGAIN);
        }
        self.has_worker = true;
        let obj = iocb.addr() as u64;
        // SAFETY: nobody else uses the iocb, which the caller promises.
        let iocb = unsafe { &mut *iocb };
        // SAFETY: nobody else uses this iocb either.
        let fd_of = |iocb: *mut Iocb| unsafe { (*iocb).aio_fildes };
        let more = next.map(fd_of) == Some(iocb.aio_fildes);
        let Some(job) = self.accept(iocb, obj, more)? else {
            return Ok(());
        };
        if started != self.started || self.jobs.is_full() {
            self.hand_over();
            self.started = started;
        }
        self.jobs.push(job);
        Ok(())
    }

    /// Accepts one request, after the checks that the real kernel makes, in its order. Returns its
    /// job if a worker is to begin with it.
    fn accept(&mut self, iocb: &mut Iocb, obj: u64, more: bool) -> Result<Option<Job<D>>, Errno> {
        let fits =
            usize::try_from(iocb.aio_buf).is_ok() && isize::try_from(iocb.aio_nbytes).is_ok();
        if iocb.aio_reserved2 != 0 || !fits {
            return Err(Errno::EINVAL);
        }
        let context = self.context;
        context.has_room()?;
        let request = (context.pool.device).accept(&mut self.last, iocb, obj, more)?;
        iocb.aio_key = KIOCB_KEY;
        let role = request.role();
        let (is_poll, is_empty) = (request.is_poll(), request.is_empty());
        let entry = context.accept(request)?;
        let Some((file, role)) = role else {
            let job = Job::new(context, entry, None);
            if is_poll || is_empty {
                // No worker is needed.
                job.run();
                return Ok(None);
            }
            return Ok(Some(job));
        };
        let make = |place| Job::new(context, entry, Some(place));
        Ok(lock(&context.pool.order).enter(file, role, make))
    }

    fn hand_over(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let workers = &self.context.pool.workers;
        match self.started {
            true => workers.push_started(self.jobs.drain(..)),
            false => workers.push(self.jobs.drain(..)),
        }
    }
}

impl<D: Device> Drop for Submission<'_, D> {
    fn drop(&mut self) {
        // A request's descriptor is closed before its event is there. So this may not keep one.
        self.last = D::Last::default();
        self.hand_over();
    }
}
