//! What carries requests out: files with blocking calls, or a model's device.

#![allow(
    unsafe_code,
    reason = "declares what is unsafe about carrying requests out"
)]

use std::os::fd::RawFd;

use aio_abi::Iocb;
use aio_sys::Errno;

use super::{
    job::Job,
    order::{FileId, Role},
};

/// Carries requests out.
pub(crate) trait Device: Sized + Send + Sync + 'static {
    type Request: Request;
    /// What the requests of one submission share.
    type Last: Default;

    /// Checks an iocb, and makes a request of it. `obj` is the iocb's address. `more` says that the
    /// next request of the submission names the same descriptor.
    ///
    /// # Errors
    ///
    /// The errno with which the real kernel refuses such a request, or EAGAIN if this device lacks
    /// what the request needs.
    fn accept(
        &self,
        last: &mut Self::Last,
        iocb: &Iocb,
        obj: u64,
        more: bool,
    ) -> Result<Self::Request, Errno>;

    /// Carries a request out, as far as its file lets it. May block.
    ///
    /// # Safety
    ///
    /// The memory that the iocb named is valid, and nobody else uses it until the event.
    unsafe fn attempt(&self, request: &mut Self::Request) -> Attempt;

    /// Has a job wait until its request's file is ready. Then it is told by [`Job::ready`]. The
    /// request stays where it is until then, or until the job was [forgotten](Self::forget).
    ///
    /// # Errors
    ///
    /// The request is over, with this `res`. Here is the job.
    fn wait(&self, request: &Self::Request, job: Job<Self>) -> Result<Token, (Job<Self>, i64)>;

    /// Signals an eventfd.
    fn signal(&self, eventfd: RawFd);

    /// Takes back a job that waits. `None` if it was told.
    fn forget(&self, token: Token) -> Option<Job<Self>>;
}

/// A request that was accepted.
pub(crate) trait Request: Send + 'static {
    /// The iocb's `aio_data`.
    fn data(&self) -> u64;

    /// The iocb's address.
    fn obj(&self) -> u64;

    /// Its file, and which other requests on that it has to wait for.
    fn role(&self) -> Option<(FileId, Role)>;

    /// Whether it only waits until its file is ready.
    fn is_poll(&self) -> bool;

    /// Whether it transfers nothing, and so waits for nothing. It needs no worker: all of them may
    /// be busy, and the queue ends waits by such requests.
    fn is_empty(&self) -> bool;

    /// Whether nothing but another process or the network ends it.
    fn may_wait_for_ever(&self) -> bool;

    /// The `res` if it is cancelled now.
    fn cancelled(&self) -> i64;

    /// The eventfd that is to be signalled when its event is there.
    fn eventfd(&self) -> Option<RawFd>;
}

/// The outcome of an attempt.
pub(crate) enum Attempt {
    /// The request is over. This is its event's `res`.
    Over(i64),
    /// The file isn't ready. The worker tries again when it is.
    NotReady,
}

/// A job that waits until its file is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) index: u32,
    pub(crate) uses: u32,
}
