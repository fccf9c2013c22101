//! Making a file's writes durable.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aio_sys::Errno;

use super::{
    Error, File,
    submission::{Submission, Target},
};
use crate::{Op, OpError, Queue, SubmitError, op::FileSync};

/// A sync of a [`File`]: a task `.await`s it, a thread [`wait`](Self::wait)s for it.
///
/// It was submitted when it was made if a slot of the queue was free. Otherwise it waits for one
/// when it is awaited or waited for, first come first served.
///
/// # Dropping
///
/// Dropping it abandons the sync. If the sync was submitted, it goes on. If it still waits for a
/// slot, nothing is submitted. See [`Pending`](crate::Pending#dropping).
#[must_use = "dropping it abandons the operation: its result is lost"]
pub struct Syncing<'a> {
    target: Target<'a>,
    make: fn() -> Op<FileSync>,
    submission: Submission<'a, FileSync>,
}

impl<'a> Syncing<'a> {
    fn new(target: Target<'a>, make: fn() -> Op<FileSync>) -> Self {
        Self {
            target,
            make,
            submission: Submission::new(target, make()),
        }
    }

    /// After the sync: its result, or `None` if it was submitted again.
    fn next(
        &mut self,
        done: Result<Result<(), OpError>, SubmitError<Op<FileSync>>>,
    ) -> Option<Result<(), Error>> {
        match done {
            Ok(Err(error)) if error.errno() == Errno::EINTR => {
                self.submission = Submission::new(self.target, (self.make)());
                None
            }
            Ok(result) => Some(result.map_err(Error::Op)),
            Err(error) => Some(Err(error.reason.into())),
        }
    }

    /// Blocks until the sync is over. The thread reaps for the whole queue meanwhile, unless
    /// another one does. Signals don't end the wait.
    ///
    /// # Errors
    ///
    /// [`Error::Op`] and [`Error::Queue`].
    ///
    /// # Deadlocks and panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait), and while no slot is free as
    /// [`Reserve::wait`](crate::queue::Reserve::wait). It panics if polling has taken the
    /// result before.
    pub fn wait(mut self) -> Result<(), Error> {
        loop {
            let submission = std::mem::replace(&mut self.submission, Submission::over());
            let done = submission.wait(self.target);
            if let Some(result) = self.next(done) {
                return result;
            }
        }
    }
}

impl Future for Syncing<'_> {
    type Output = Result<(), Error>;

    /// # Panics
    ///
    /// When it is polled again after it was ready, and in the same cases as [`wait`](Self::wait).
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let target = self.target;
            let done = ready!(self.submission.poll(target, cx));
            if let Some(result) = self.next(done) {
                return Poll::Ready(result);
            }
        }
    }
}

impl fmt::Debug for Syncing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncing")
            .field("submitted", &self.submission.is_submitted())
            .finish_non_exhaustive()
    }
}

/// Syncs. A sync covers writes that *completed* before it was made, not those in flight. So wait
/// for the writes first. The kernel carries syncs out in threads of its own, on buffered files too.
/// They need Linux 4.18: older kernels refuse them with EINVAL. See [`Syncing`] for waiting, and
/// for what dropping it means.
impl File {
    /// Makes everything that was written to the file durable, but only the metadata that is needed
    /// to read it back (`fdatasync(2)`).
    ///
    /// # Errors
    ///
    /// The result is an [`Error`] if the sync was refused or failed. EINVAL is for files that can't
    /// be synced.
    #[doc(alias = "fdatasync")]
    pub fn sync_data<'a>(&'a self, queue: &'a Queue) -> Syncing<'a> {
        Syncing::new(Target { queue, file: self }, Op::fdatasync)
    }

    /// Makes everything that was written to the file durable, its metadata included (`fsync(2)`).
    ///
    /// # Errors
    ///
    /// As [`sync_data`](Self::sync_data).
    #[doc(alias = "fsync")]
    pub fn sync_all<'a>(&'a self, queue: &'a Queue) -> Syncing<'a> {
        Syncing::new(Target { queue, file: self }, Op::fsync)
    }
}
