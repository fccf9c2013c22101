//! What a client has after its hello: memory, a ring, files.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::io::Errno;

use super::{
    bell::Bell,
    disk::{Action, Job, JobAndPart},
    files::{self, Refusal},
    limits::Limits,
    memory::Memory,
    publisher::Publisher,
};
use crate::wire::{Completion, MAGIC, Opcode, Request};

#[derive(Debug)]
pub(crate) struct Session {
    memory: Arc<Memory>,
    eventfd: OwnedFd,
    ring: Publisher,
    places: u32,
    /// By their numbers.
    files: Vec<Option<Arc<OwnedFd>>>,
    /// How many requests took a place, modulo 2³².
    admitted: u32,
    /// How many completions the client has taken, as it says, modulo 2³².
    taken: u32,
}

impl Session {
    /// Begins a session, with memory and eventfd from a hello. It leaves those descriptors in `fds`
    /// that it doesn't need. Returns the ring's descriptor too, for the client.
    pub(crate) fn new(
        hello: &Request,
        fds: &mut Vec<OwnedFd>,
        limits: &Limits,
        bell: &Bell,
    ) -> Result<(Self, OwnedFd), Refusal> {
        if hello.tag != MAGIC {
            let text = "the client speaks another version of the protocol";
            return Err(Refusal::new(Errno::PROTO, text));
        }
        let [memory, eventfd] = fds.as_slice() else {
            return Err(Refusal::new(Errno::BADMSG, "a hello has two descriptors"));
        };
        // The mapping is enough.
        let memory = Arc::new(Memory::map(memory, limits.memory)?);
        match bell.ring(&[eventfd.as_fd()]) {
            Ok(_) => {}
            Err(aio_sys::Errno::EINVAL) => {
                let text = "the second descriptor isn't an eventfd";
                return Err(Refusal::new(Errno::INVAL, text));
            }
            Err(errno) => {
                let text = format_args!("can't signal the eventfd: {errno}");
                return Err(Refusal::new(Errno::from_raw_os_error(errno.raw()), text));
            }
        }
        let places = limits.places();
        let (ring, descriptor) = Publisher::new(places).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Refusal::failed("can't make the ring")(errno)
        })?;
        let this = Self {
            memory,
            eventfd: fds.swap_remove(1),
            ring,
            places,
            files: Vec::new(),
            admitted: 0,
            taken: 0,
        };
        Ok((this, descriptor))
    }

    /// Notes how many completions the client has taken. The client can't have taken more than were
    /// published, or fewer than before.
    pub(crate) fn note_taken(&mut self, taken: u32) -> Result<(), Refusal> {
        let news = taken.wrapping_sub(self.taken);
        if news > self.ring.published().wrapping_sub(self.taken) {
            let text = "the client says that it took completions that don't exist yet";
            return Err(Refusal::new(Errno::PROTO, text));
        }
        self.taken = taken;
        Ok(())
    }

    /// Gives a file a number.
    pub(crate) fn register(&mut self, file: OwnedFd, limits: &Limits) -> Result<u32, Rejected> {
        let free = self.files.iter().position(Option::is_none);
        let number = free.unwrap_or(self.files.len());
        if number >= limits.files {
            let text = format_args!("{number} files are registered, and no more are allowed");
            return Err((Refusal::new(Errno::MFILE, text), file));
        }
        if let Err(refusal) = files::check(file.as_fd()) {
            return Err((refusal, file));
        }
        if number == self.files.len() {
            self.files.push(None);
        }
        self.files[number] = Some(Arc::new(file));
        Ok(number as u32)
    }

    /// Takes a file's number back.
    pub(crate) fn unregister(&mut self, number: u32) -> Result<Arc<OwnedFd>, Refusal> {
        let file = self.files.get_mut(number as usize).and_then(Option::take);
        file.ok_or_else(|| {
            Refusal::new(
                Errno::BADF,
                format_args!("no file is registered as {number}"),
            )
        })
    }

    /// Takes a place for a request, and returns what is to be carried out. If the request is wrong,
    /// its completion says so, and there is nothing to carry out.
    pub(crate) fn admit(
        &mut self,
        client: u64,
        opcode: Opcode,
        request: &Request,
        limits: &Limits,
    ) -> Result<Option<JobAndPart>, Refusal> {
        if self.admitted.wrapping_sub(self.taken) >= self.places {
            let text = format_args!(
                "{} requests have completions that weren't taken, and no more are allowed",
                self.places
            );
            return Err(Refusal::new(Errno::OVERFLOW, text));
        }
        self.admitted = self.admitted.wrapping_add(1);
        match self.job(client, opcode, request, limits) {
            Ok(job) => Ok(Some(job)),
            Err(errno) => {
                self.complete(request.tag, -i64::from(errno.raw_os_error()));
                Ok(None)
            }
        }
    }

    fn job(
        &self,
        client: u64,
        opcode: Opcode,
        request: &Request,
        limits: &Limits,
    ) -> Result<JobAndPart, Errno> {
        let Request {
            file,
            tag,
            offset,
            memory,
            length,
            ..
        } = *request;
        let file = self.files.get(file as usize).and_then(Option::as_ref);
        let file = Arc::clone(file.ok_or(Errno::BADF)?);
        let action = match opcode {
            Opcode::Read => Action::Read { offset },
            Opcode::Write => Action::Write { offset },
            _ if (offset, memory, length) == (0, 0, 0) => Action::Sync,
            _ => return Err(Errno::INVAL),
        };
        let part = if action == Action::Sync {
            None
        } else {
            if length > limits.request {
                return Err(Errno::MSGSIZE);
            }
            let end = offset.checked_add(length.into()).ok_or(Errno::INVAL)?;
            i64::try_from(end).map_err(|_| Errno::INVAL)?;
            Some(self.memory.part(memory, length).ok_or(Errno::FAULT)?)
        };
        let job = Job {
            client,
            tag,
            file,
            action,
        };
        Ok((job, part))
    }

    /// Tells the client what became of a request. Its eventfd is signalled later.
    pub(crate) fn complete(&mut self, tag: u64, result: i64) {
        self.ring.publish(Completion { tag, result });
    }

    /// How many completions the ring has had.
    pub(crate) fn published(&self) -> u32 {
        self.ring.published()
    }

    pub(crate) fn places(&self) -> u32 {
        self.places
    }

    pub(crate) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

/// Why a file has no number, and the file.
pub(crate) type Rejected = (Refusal, OwnedFd);
