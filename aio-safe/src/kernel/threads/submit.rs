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
        if !self.pool.workers.have_one() {
            return Err(Errno::EAGAIN);
        }
        let mut jobs = ArrayVec::<Job<D>, TURN>::new();
        let mut accepted = 0;
        let mut refused = None;
        for &iocb in iocbs {
            // SAFETY: nobody else uses the iocb, which the caller promises.
            match self.submit_one(unsafe { &mut *iocb }, iocb.addr() as u64) {
                Ok(None) => {}
                Ok(Some(job)) => {
                    jobs.push(job);
                    if jobs.is_full() {
                        self.pool.workers.push(jobs.drain(..));
                    }
                }
                Err(errno) => {
                    refused = Some(errno);
                    break;
                }
            }
            accepted += 1;
        }
        if !jobs.is_empty() {
            self.pool.workers.push(jobs);
        }
        match refused {
            Some(errno) if accepted == 0 => Err(errno),
            _ => Ok(accepted),
        }
    }

    /// Checks and accepts one request, in the order in which the real kernel does. Returns its job
    /// if a worker is to begin with it.
    fn submit_one(self: &Arc<Self>, iocb: &mut Iocb, obj: u64) -> Result<Option<Job<D>>, Errno> {
        let fits =
            usize::try_from(iocb.aio_buf).is_ok() && isize::try_from(iocb.aio_nbytes).is_ok();
        if iocb.aio_reserved2 != 0 || !fits {
            return Err(Errno::EINVAL);
        }
        self.has_room()?;
        let request = self.pool.device.accept(iocb, obj)?;
        iocb.aio_key = KIOCB_KEY;
        let role = request.role();
        let (is_poll, is_empty) = (request.is_poll(), request.is_empty());
        let entry = self.accept(request)?;
        let Some((file, role)) = role else {
            let job = Job::new(self, entry, None);
            if is_poll || is_empty {
                // No worker is needed.
                job.run();
                return Ok(None);
            }
            return Ok(Some(job));
        };
        let make = |place| Job::new(self, entry, Some(place));
        Ok(lock(&self.pool.order).enter(file, role, make))
    }
}
