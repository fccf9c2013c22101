//! Polls of descriptors that aren't of the world: pipes, sockets, eventfds and the like.
//!
//! Such a file is real, and so is the answer whether it is ready. The kernel is asked whenever a
//! call is made or time passes. A poll in flight is what `io_cancel` can cancel.

#![allow(
    unsafe_code,
    reason = "duplicates descriptors that are known by their number"
)]

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

use aio_safe::{Errno, kernel::AioContext};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fcntl_getfl, fstat},
    io::fcntl_dupfd_cloexec,
};

use super::request::{Request, Work};
use crate::world::State;

/// `POLLERR | POLLHUP`, which are always polled for.
pub(super) const ALWAYS: u16 = 0x18;

/// Programs that closed their standard streams may open others with the numbers below.
const AFTER_STDIO: RawFd = 3;

/// A real file that isn't of the world. The descriptor is a duplicate: the program may close its
/// own while a poll is in flight.
#[derive(Debug)]
pub(crate) struct Other {
    fd: OwnedFd,
    identity: Option<Identity>,
}

/// What two descriptors have in common if polls of both have the same answer: device, inode and
/// access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64, OFlags);

/// The descriptor of this number, whether it is open or not.
///
/// # Errors
///
/// EBADF: no descriptor has such a number.
fn by_number<'a>(number: u32) -> Result<BorrowedFd<'a>, Errno> {
    let number = RawFd::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the number isn't -1. Whether it is open is what the callers ask the kernel: each
    // passes the result to one call and drops it. These calls duplicate the descriptor and ask for
    // its inode, so they change or close no descriptor of the program.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Device and inode of the file behind a descriptor's number.
///
/// # Errors
///
/// EBADF: it isn't open.
pub(crate) fn inode_of(number: u32) -> Result<(u64, u64), Errno> {
    let stat = fstat(by_number(number)?).map_err(|_| Errno::EBADF)?;
    Ok((stat.st_dev, stat.st_ino))
}

impl Other {
    /// The file behind a descriptor's number.
    ///
    /// # Errors
    ///
    /// EBADF: it isn't open, or it is a file of a disk, whose place is on a simulated one. EAGAIN:
    /// the process can't have one more descriptor.
    pub(super) fn find(number: u32) -> Result<Self, Errno> {
        let fd = by_number(number)?;
        let fd = fcntl_dupfd_cloexec(fd, AFTER_STDIO).map_err(|error| match error {
            rustix::io::Errno::BADF => Errno::EBADF,
            _ => Errno::EAGAIN,
        })?;
        let flags = fcntl_getfl(&fd).map_err(|_| Errno::EBADF)?;
        let stat = fstat(&fd).map_err(|_| Errno::EBADF)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_of_a_disk = matches!(
            kind,
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice
        );
        if is_of_a_disk || flags.contains(OFlags::PATH) {
            return Err(Errno::EBADF);
        }
        // Others, such as eventfds, have one inode together.
        let identity = matches!(kind, FileType::Fifo | FileType::Socket)
            .then(|| Identity(stat.st_dev, stat.st_ino, flags & OFlags::ACCMODE));
        Ok(Self { fd, identity })
    }
}

/// The polls in flight, by their files.
#[derive(Default)]
pub(crate) struct Polls(Vec<Watched>);

/// A file, and the polls of it in flight.
struct Watched {
    fd: Arc<OwnedFd>,
    identity: Option<Identity>,
    /// The events that some poll waits for.
    events: u16,
    polls: Vec<Request>,
}

impl Watched {
    /// Takes polls out.
    fn take(&mut self, is_it: impl FnMut(&Request) -> bool) -> Vec<Request> {
        let (taken, left) = self.polls.drain(..).partition(is_it);
        self.polls = left;
        self.events = self.polls.iter().map(events).fold(0, |all, one| all | one);
        taken
    }
}

/// The events that a poll waits for.
fn events(request: &Request) -> u16 {
    match request.work {
        Work::Watch { events, .. } => events | ALWAYS,
        _ => 0,
    }
}

impl Polls {
    /// Adds a poll of a file. Polls of one pipe share a descriptor, because there may be more of
    /// them than a process can have descriptors.
    fn add(&mut self, other: Other, request: Request) {
        let of_it = |watched: &&mut Watched| {
            watched.identity.is_some() && watched.identity == other.identity
        };
        match self.0.iter_mut().find(of_it) {
            Some(watched) => {
                watched.events |= events(&request);
                watched.polls.push(request);
            }
            None => self.0.push(Watched {
                fd: Arc::new(other.fd),
                identity: other.identity,
                events: events(&request),
                polls: vec![request],
            }),
        }
    }

    /// Takes polls out.
    fn take(&mut self, mut is_it: impl FnMut(&Request) -> bool) -> Vec<Request> {
        let mut taken = Vec::new();
        for watched in &mut self.0 {
            taken.extend(watched.take(&mut is_it));
        }
        self.0.retain(|watched| !watched.polls.is_empty());
        taken
    }

    /// The files, for [`Real::wait`].
    pub(crate) fn real(&self) -> Real {
        let files = self.0.iter();
        Real(
            files
                .map(|watched| (Arc::clone(&watched.fd), watched.events))
                .collect(),
        )
    }
}

/// Real files, and the events that are waited for.
pub(crate) struct Real(Vec<(Arc<OwnedFd>, u16)>);

impl Real {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits in real time until one of them is ready, or for a moment. Another thread may do
    /// something in the world meanwhile, which ends no wait.
    pub(crate) fn wait(&self) {
        const MOMENT: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        self.ask(&MOMENT);
    }

    /// What each of them is ready for.
    fn ask(&self, timeout: &Timespec) -> Vec<u16> {
        let mut fds: Vec<PollFd<'_>> = self
            .0
            .iter()
            .map(|(fd, events)| {
                // The flags are signed where rustix uses libc.
                let events = PollFlags::from_bits_retain(*events as _);
                PollFd::from_borrowed_fd(fd.as_fd(), events)
            })
            .collect();
        match poll(&mut fds, Some(timeout)) {
            Ok(_) => {
                let ready = |fd: &PollFd<'_>| -> u16 { fd.revents().bits() as _ };
                fds.iter().map(ready).collect()
            }
            // A signal came, or the kernel has no memory. They are asked again.
            Err(_) => vec![0; fds.len()],
        }
    }
}

impl State {
    /// `aio_poll`, of a file that isn't of the world.
    pub(super) fn watch(&mut self, mut request: Request) {
        let Work::Watch { other, .. } = &mut request.work else {
            return;
        };
        let Some(other) = other.take() else { return };
        self.kernel.polls.add(other, request);
        self.look_at_polls();
    }

    /// Ends the polls whose files are ready, in the order of their submission. Returns whether
    /// there was one.
    pub(crate) fn look_at_polls(&mut self) -> bool {
        if self.kernel.polls.0.is_empty() {
            return false;
        }
        let ready = self.kernel.polls.real().ask(&Timespec::default());
        if ready.iter().all(|&ready| ready == 0) {
            return false;
        }
        let mut over = Vec::new();
        for (watched, ready) in self.kernel.polls.0.iter_mut().zip(ready) {
            let done = watched.take(|request| events(request) & ready != 0);
            over.extend(done.into_iter().map(|request| {
                let ready = events(&request) & ready;
                (request, ready)
            }));
        }
        self.kernel
            .polls
            .0
            .retain(|watched| !watched.polls.is_empty());
        over.sort_by_key(|(request, _)| request.number);
        for (request, ready) in over {
            self.end(request, Ok(ready.into()));
        }
        true
    }

    /// `io_cancel`: a poll in flight is over, with a result of 0. Nothing else can be cancelled.
    pub(super) fn io_cancel(&mut self, ctx: AioContext, iocb: u64, key: u32) -> Result<(), Errno> {
        if key != super::submit::KIOCB_KEY {
            return Err(Errno::EINVAL);
        }
        let context = self.kernel.find(ctx)?;
        self.look_at_polls();
        let mut found = false;
        let taken = self.kernel.polls.take(|request| {
            let is_it = !found && request.context == context && request.obj == iocb;
            found |= is_it;
            is_it
        });
        for request in taken {
            self.end(request, Ok(0));
        }
        match found {
            true => Err(Errno::EINPROGRESS),
            false => Err(Errno::EINVAL),
        }
    }

    /// `kiocb_cancel` of each poll of a context that is being destroyed.
    pub(super) fn cancel_polls(&mut self, context: usize) {
        let of_it = |request: &Request| request.context == context;
        for request in self.kernel.polls.take(of_it) {
            self.end(request, Ok(0));
        }
    }
}
