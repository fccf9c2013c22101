//! What the loop waits for, and with what.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How many events a wait returns at most.
const EVENTS: usize = 256;

/// An epoll. What it watches is named by a number.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Watches a file, level-triggered. Closing the file ends that.
    pub(crate) fn add(&self, file: impl AsFd, name: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            file,
            EventData::new_u64(name),
            flags,
        )?)
    }

    /// Watches a file for something else. Errors and hang-ups are always watched for.
    pub(crate) fn modify(&self, file: impl AsFd, name: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            file,
            EventData::new_u64(name),
            flags,
        )?)
    }

    /// Waits for events, and returns what happened to what. A signal ends the wait.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<(u64, EventFlags)>> {
        let limit = limit.map(Timespec::try_from).transpose();
        let limit = limit.map_err(|_| Errno::INVAL)?;
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            limit.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Copies: an event is a packed struct.
        Ok(self
            .events
            .iter()
            .map(|event| ({ event.data }.u64(), event.flags))
            .collect())
    }
}

/// A socket that can be read when SIGTERM or SIGINT came.
pub(crate) fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, writer.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGINT, writer)?;
    Ok(reader)
}
