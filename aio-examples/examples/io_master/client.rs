//! A client that blocks.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect,
        socket_with,
    },
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    ring::Reader,
    socket::{self, Message},
    wire::{ANSWER, Answer, Completion, MAGIC, Opcode, Request},
};

/// A connection to a server, and the memory that both share.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    /// The shared memory. `read_at` and `write_at` access it.
    pub(crate) memory: File,
    pub(crate) eventfd: File,
    ring: Reader,
    /// How many reads, writes and syncs were sent, modulo 2³².
    sent: u32,
    /// How many requests may be without a completion that was taken.
    pub(crate) places: u32,
    /// The longest read or write, in bytes.
    pub(crate) longest: u32,
}

impl Client {
    /// Connects, and shares new memory of this size in bytes.
    pub(crate) fn connect(path: &Path, memory: u64) -> io::Result<Self> {
        let (memory, eventfd) = (sealed_memory(memory)?, new_eventfd()?);
        Self::introduce(dial(path)?, memory, eventfd)
    }

    /// Says hello over a socket that is connected.
    pub(crate) fn introduce(socket: OwnedFd, memory: File, eventfd: File) -> io::Result<Self> {
        let hello = Request {
            opcode: Opcode::Hello.number(),
            tag: MAGIC,
            ..Request::default()
        };
        let fds = [memory.as_fd(), eventfd.as_fd()];
        send(&socket, &hello, &fds)?;
        let (answer, fds) = receive(&socket)?;
        let ring = fds.first().ok_or(Errno::PROTO)?;
        Ok(Self {
            ring: Reader::new(ring, answer.places)?,
            socket,
            memory,
            eventfd,
            sent: 0,
            places: answer.places,
            longest: answer.request,
        })
    }

    /// Gives a file a number. What the server may do with it is what the descriptor allows.
    pub(crate) fn register(&mut self, file: impl AsFd) -> io::Result<u32> {
        let request = self.request(Opcode::Register);
        send(&self.socket, &request, &[file.as_fd()])?;
        let (answer, _) = receive(&self.socket)?;
        Ok(answer.file)
    }

    /// Frees a file's number.
    pub(crate) fn unregister(&mut self, file: u32) -> io::Result<()> {
        let mut request = self.request(Opcode::Unregister);
        request.file = file;
        send(&self.socket, &request, &[])?;
        receive(&self.socket)?;
        Ok(())
    }

    /// Begins a request, with what each has.
    pub(crate) fn request(&self, opcode: Opcode) -> Request {
        Request {
            opcode: opcode.number(),
            taken: self.ring.taken(),
            ..Request::default()
        }
    }

    /// Sends a read, a write or a sync. Its completion comes from [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the ring has no place for the completion. Take some first.
    pub(crate) fn submit(&mut self, request: Request) -> io::Result<()> {
        if self.unanswered() == self.places {
            return Err(Errno::AGAIN.into());
        }
        let taken = self.ring.taken();
        send(&self.socket, &Request { taken, ..request }, &[])?;
        self.sent = self.sent.wrapping_add(1);
        Ok(())
    }

    /// How many completions are to come, or to be taken.
    pub(crate) fn unanswered(&self) -> u32 {
        self.sent.wrapping_sub(self.ring.taken())
    }

    /// Waits for the next completion. It can be of any request that was submitted.
    ///
    /// # Errors
    ///
    /// If the server ends the connection, the error says why. Completions that are there are
    /// returned first.
    pub(crate) fn wait(&mut self) -> io::Result<Completion> {
        loop {
            if let Some(completion) = self.ring.take() {
                return Ok(completion);
            }
            let mut files = [
                PollFd::new(&self.eventfd, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut files, None))?;
            let (rings, speaks) = (files[0].revents(), files[1].revents());
            if !rings.is_empty() {
                // The ring is looked at only afterwards, so no signal is lost.
                let mut count = [0; 8];
                match self.eventfd.read(&mut count) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            } else if !speaks.is_empty() {
                // The server's last completions came before it ended the connection.
                if let Some(completion) = self.ring.take() {
                    return Ok(completion);
                }
                receive(&self.socket)?;
                return Err(Errno::PROTO.into());
            }
        }
    }
}

/// Connects to a server's socket.
pub(crate) fn dial(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Memory as the server wants it.
pub(crate) fn sealed_memory(size: u64) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(memfd_create("io_master client", flags)?);
    memory.set_len(size)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK)?;
    Ok(memory)
}

pub(crate) fn new_eventfd() -> io::Result<File> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    Ok(eventfd(0, flags)?.into())
}

/// Sends a request. If the server has ended the connection, the error is the server's last word.
fn send(
    socket: &OwnedFd,
    request: &Request,
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    match socket::send(socket, request.as_bytes(), fds, SendFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(receive(socket).err().unwrap_or(error))
        }
        done => done,
    }
}

/// Waits for an answer. A refusal is an error with the server's text.
pub(crate) fn receive(socket: &OwnedFd) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let mut bytes = [0; ANSWER];
    let message = socket::receive(socket, &mut bytes, RecvFlags::empty())?;
    let Message {
        length,
        fds,
        lost_fds,
    } = message;
    if lost_fds {
        return Err(Errno::MFILE.into());
    }
    if length == 0 {
        let text = "the server has ended the connection";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    let bytes = bytes.get(..length).ok_or(Errno::PROTO)?;
    let (answer, text) = Answer::read_from_prefix(bytes).map_err(|_| Errno::PROTO)?;
    if answer.status == 0 {
        return Ok((answer, fds));
    }
    let kind = io::Error::from_raw_os_error(answer.status as i32).kind();
    Err(io::Error::new(kind, String::from_utf8_lossy(text)))
}
