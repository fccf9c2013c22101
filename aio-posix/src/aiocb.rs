//! A request in flight, and its end.

use std::{
    fmt,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicI32,
            Ordering::{Acquire, Release},
        },
    },
};

use aio_safe::{
    BufResult, Errno, OpError,
    op::{FileSync, Payload, Transfer},
};

use crate::{
    engine::{Cancelled, Engine, Outcome, Sink},
    foreign,
    group::Member,
    progress::{PROGRESS, Waited},
    sigevent::Notify,
};

/// A request that was submitted: the handle of its status and, in the end, of its buffer.
///
/// Dropping it doesn't end the request. The buffer is dropped when the request is over.
#[must_use = "dropping it loses the result"]
pub struct Aiocb<B> {
    pub(crate) status: Arc<Inner<B>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) fd: RawFd,
}

/// The status, and the result.
pub(crate) struct Inner<B> {
    /// EINPROGRESS, 0, or an errno.
    error: AtomicI32,
    done: Mutex<Option<Done<B>>>,
}

/// A request that is over.
#[derive(Debug)]
pub struct Done<B> {
    /// How many bytes were transferred: 0 for a sync. ECANCELED if the request was cancelled. For
    /// other errors see [`OpError`](aio_safe::OpError).
    pub result: Result<usize, Errno>,
    /// The buffer. The bytes that a read has stored count as initialised.
    pub buffer: B,
}

/// What `aio_error` says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It isn't over (EINPROGRESS).
    InProgress,
    /// It has succeeded (0).
    Succeeded,
    /// It has failed. ECANCELED: it was cancelled.
    Failed(Errno),
}

/// What became of an attempt to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// All requests that were in flight were cancelled (`AIO_CANCELED`).
    Canceled,
    /// Some go on (`AIO_NOTCANCELED`). Their status tells which.
    NotCanceled,
    /// None was in flight (`AIO_ALLDONE`).
    AllDone,
}

impl From<Cancelled> for Cancel {
    fn from(cancelled: Cancelled) -> Self {
        match cancelled {
            Cancelled::All => Self::Canceled,
            Cancelled::NotAll => Self::NotCanceled,
            Cancelled::NoneInFlight => Self::AllDone,
        }
    }
}

impl<B> Aiocb<B> {
    /// Whether the request is over, and how it ended. Doesn't block.
    pub fn aio_error(&self) -> Status {
        self.status.get()
    }

    /// Takes the result. Doesn't block. The control block is used up by this, so it can't be done
    /// twice.
    ///
    /// # Errors
    ///
    /// The control block, if the request is in progress; also if a method of the buffer has
    /// panicked, so that there is no buffer any more: then the status is EFAULT.
    pub fn aio_return(self) -> Result<Done<B>, Self> {
        match self.status.take() {
            Some(done) => Ok(done),
            None => Err(self),
        }
    }

    /// Tries to cancel the request. If that works, the request is over when this returns.
    ///
    /// What a worker carries out can't be cancelled, nor can what the kernel has: see
    /// [`Hybrid`](aio_safe::kernel::Hybrid).
    pub fn aio_cancel(&self) -> Cancel {
        if !self.engine.is_current() {
            return Cancel::AllDone;
        }
        self.engine.cancel(self.fd, Some(self.status.key())).into()
    }

    /// Waits until the request is over, whatever signals come.
    ///
    /// # Errors
    ///
    /// The control block:
    ///
    /// - in a child of the process that submitted the request;
    /// - if the request isn't over, and this is called [within](crate::Aio#the-programs-code) the
    ///   engine;
    /// - if the buffer was [lost](Self::aio_return).
    pub fn wait(self) -> Result<Done<B>, Self> {
        let is_over = || self.status.get() != Status::InProgress;
        if !foreign::is_inside() {
            // A signal handler may fork.
            PROGRESS.wait_until(|| is_over() || !self.engine.is_current());
        }
        self.aio_return()
    }
}

impl<B> Inner<B> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            error: AtomicI32::new(Errno::EINPROGRESS.raw()),
            done: Mutex::new(None),
        })
    }

    /// What names the request in the engine.
    pub(crate) fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn get(&self) -> Status {
        // Acquire: what the request did comes before what its owner does next.
        match self.error.load(Acquire) {
            0 => Status::Succeeded,
            raw => match Errno::from_raw(raw).unwrap_or(Errno::EIO) {
                Errno::EINPROGRESS => Status::InProgress,
                errno => Status::Failed(errno),
            },
        }
    }

    pub(crate) fn take(&self) -> Option<Done<B>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.take()
    }

    /// There is no buffer any more.
    fn lose(&self) {
        self.error.store(Errno::EFAULT.raw(), Release);
    }

    fn store(&self, result: Result<usize, Errno>, buffer: B) {
        let raw = result.err().map_or(0, Errno::raw);
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done = Some(Done { result, buffer });
        drop(done);
        self.error.store(raw, Release);
    }
}

/// Where a request's outcome goes.
pub(crate) struct ToAiocb<B> {
    pub(crate) status: Arc<Inner<B>>,
    pub(crate) sigevent: Notify,
    pub(crate) member: Option<Member>,
}

impl<B> ToAiocb<B> {
    fn told(self) {
        self.sigevent.tell();
        if let Some(mut member) = self.member {
            member.failed = matches!(self.status.get(), Status::Failed(_));
        }
    }
}

impl<B: Send + 'static> Sink<Transfer<B>> for ToAiocb<B>
where
    Transfer<B>: Payload<Output = BufResult<usize, B>>,
{
    const IS_FOREIGN: bool = true;

    fn lose(&mut self) {
        self.status.lose();
    }

    fn store(&mut self, outcome: Outcome<Transfer<B>>, _: Option<Errno>) -> Option<Errno> {
        let (result, buffer) = match outcome {
            Outcome::Over(done) => (done.result.map_err(OpError::errno), done.buffer),
            Outcome::NotSubmitted(op, errno) => (Err(errno), op.into_payload().into_buffer()),
        };
        self.status.store(result, buffer);
        result.err()
    }

    fn tell(self) {
        self.told();
    }
}

impl Sink<FileSync> for ToAiocb<()> {
    const IS_FOREIGN: bool = true;

    fn lose(&mut self) {
        self.status.lose();
    }

    fn store(&mut self, outcome: Outcome<FileSync>, before: Option<Errno>) -> Option<Errno> {
        let result = outcome.of_sync(before);
        self.status.store(result, ());
        result.err()
    }

    fn tell(self) {
        self.told();
    }
}

mod sealed {
    /// What can be waited for.
    pub trait Waitable {
        fn is_over(&self) -> bool;
        fn is_current(&self) -> bool;
    }
}

/// A request that [`aio_suspend`] can wait for: an [`Aiocb`] of any buffer.
pub trait Request: sealed::Waitable {}

impl<B> sealed::Waitable for Aiocb<B> {
    fn is_over(&self) -> bool {
        self.status.get() != Status::InProgress
    }

    fn is_current(&self) -> bool {
        self.engine.is_current()
    }
}

impl<B> Request for Aiocb<B> {}

/// Waits until at least one of the requests is over. Returns at once if one is.
///
/// # Errors
///
/// - EAGAIN: none was over when the time was up.
/// - EINTR: a signal handler ran. One with `SA_RESTART` doesn't end a wait without a timeout.
/// - EINVAL: a request is of the parent of this process.
/// - EDEADLK: none is over, and this is called [within](crate::Aio#the-programs-code) the engine.
pub fn aio_suspend(
    requests: &[&dyn Request],
    timeout: Option<std::time::Duration>,
) -> Result<(), Errno> {
    if !requests.iter().all(|request| request.is_current()) {
        return Err(Errno::EINVAL);
    }
    let is_over = || requests.iter().any(|request| request.is_over());
    if foreign::is_inside() && !is_over() {
        return Err(Errno::EDEADLK);
    }
    match PROGRESS.wait(timeout, is_over) {
        Waited::Reached => Ok(()),
        Waited::TimedOut => Err(Errno::EAGAIN),
        Waited::Interrupted => Err(Errno::EINTR),
    }
}

impl<B> fmt::Debug for Aiocb<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aiocb")
            .field("fd", &self.fd)
            .field("status", &self.aio_error())
            .finish_non_exhaustive()
    }
}
