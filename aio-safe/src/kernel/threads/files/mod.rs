//! Requests on files, carried out with blocking calls.

#![allow(unsafe_code, reason = "hands a call on")]

mod calls;
mod file;
mod open;
mod poller;
mod request;
mod streams;

use std::{os::fd::RawFd, sync::Arc};

use aio_abi::{Iocb, IocbFlags};
use aio_sys::Errno;

use self::{
    file::Last,
    open::OpenFiles,
    poller::{Poller, Told},
    request::{FileRequest, Operation},
    streams::Streams,
};
use super::{
    device::{Attempt, Device, Request, Token},
    job::Job,
};

/// The files of this process.
pub(crate) struct Files {
    poller: Poller<Job<Self>>,
    streams: Arc<Streams>,
    open_files: Arc<OpenFiles>,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            poller: Poller::new(),
            streams: Arc::default(),
            open_files: Arc::default(),
        }
    }
}

/// What a file's transfers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing: the real kernel doesn't wait. Direct I/O, and devices that only touch memory.
    Native,
    /// A file in the page cache.
    Buffered,
    /// Everything else.
    Other,
}

/// What the kernel says of a file that is always ready.
const READY: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDNORM | libc::EPOLLWRNORM) as u32;

impl Device for Files {
    type Request = FileRequest;
    type Last = Last;

    fn accept(
        &self,
        last: &mut Last,
        iocb: &Iocb,
        obj: u64,
        more: bool,
    ) -> Result<FileRequest, Errno> {
        let request = FileRequest::of(self, last, iocb, obj, more)?;
        if request.may_wait_for_ever() {
            self.poller.prepare()?;
        }
        Ok(request)
    }

    unsafe fn attempt(&self, request: &mut FileRequest) -> Attempt {
        // SAFETY: the memory is valid, and nobody else uses it until the event: the caller promises
        // that.
        unsafe { request.attempt() }
    }

    fn wait(&self, request: &FileRequest, job: Job<Self>) -> Result<Token, (Job<Self>, i64)> {
        let events = match request.operation {
            Operation::Poll { events } => u32::from(events),
            Operation::Transfer(transfer) if transfer.writes => libc::EPOLLOUT as u32,
            _ => libc::EPOLLIN as u32,
        };
        self.poller
            .wait(&request.file, events, job)
            .map_err(|(job, errno)| {
                let always_ready = errno == Errno::EPERM && request.is_poll();
                let res = match events & READY {
                    ready @ 1.. if always_ready => i64::from(ready),
                    _ if always_ready => -i64::from(Errno::EINVAL.raw()),
                    _ => -i64::from(errno.raw()),
                };
                (job, res)
            })
    }

    fn signal(&self, eventfd: RawFd) {
        calls::signal(eventfd);
    }

    fn forget(&self, token: Token) -> Option<Job<Self>> {
        self.poller.forget(token)
    }
}

/// The class of a file. Asks the kernel.
pub(crate) fn class(fd: u32) -> Class {
    file::class(fd)
}

/// What came of a look into the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// All of the data was there. The event's `res`.
    Read(i64),
    /// A worker has to read it.
    Missed {
        /// The kernel reads what is missing already.
        started: bool,
    },
}

/// Reads what an iocb asks for if all of it is in the page cache.
///
/// # Safety
///
/// The memory that the iocb names is valid, and nobody else uses it during the call.
pub(crate) unsafe fn read_cached(iocb: &Iocb) -> Look {
    // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
    unsafe { calls::read_cached(iocb) }
}

/// The eventfd of a request, if it has one.
///
/// # Errors
///
/// EBADF if it isn't open, EINVAL if it isn't an eventfd.
pub(crate) fn eventfd(iocb: &Iocb) -> Result<Option<RawFd>, Errno> {
    match iocb.aio_flags.contains(IocbFlags::RESFD) {
        true => file::check_eventfd(iocb.aio_resfd).map(Some),
        false => Ok(None),
    }
}

impl Told for Job<Files> {
    fn ready(self, events: u32) {
        Job::ready(self, events.into());
    }
}
