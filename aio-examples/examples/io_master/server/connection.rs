//! A client's connection: messages that come, answers that go, requests that wait.
//!
//! A request counts as in flight from the moment when it is received. A client with as many as it
//! may have isn't received from. What it sends stays in the socket, until it can't send any more.
//! The same holds while an answer waits until the client receives the one before it.

use std::{
    collections::VecDeque,
    mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::{
    event::epoll::EventFlags,
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, shutdown},
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    bell::Bell,
    closer::Closer,
    disk::JobAndPart,
    files::Refusal,
    limits::{HELLO, Limits},
    session::Session,
};
use crate::{
    socket::{self, Message},
    wire::{ANSWER, Answer, Opcode, REQUEST, Request},
};

/// How many messages are received before it is the next client's turn.
const TURN: usize = 16;
/// When this many things wait to be closed, a client that registers or unregisters a file is
/// disconnected. The server accepts no clients long before that.
const BACKLOG: usize = 1024;

/// What connections share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) bell: Bell,
    pub(crate) closer: Closer,
}

#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    since: Instant,
    /// None until the hello.
    session: Option<Session>,
    /// An answer that the socket had no room for, and its descriptor.
    unsent: Option<(Vec<u8>, Option<OwnedFd>)>,
    /// Requests that wait for a slot of the queue.
    waiting: VecDeque<JobAndPart>,
    /// Requests that were received and aren't over.
    in_flight: u32,
    /// The ring's count when the client's eventfd was last signalled.
    signalled: u32,
    is_over: bool,
    /// What epoll watches the socket for.
    pub(crate) watched: EventFlags,
    /// Whether the connection is in the line for slots of the queue.
    pub(crate) in_line: bool,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, now: Instant) -> Self {
        Self {
            socket,
            since: now,
            session: None,
            unsent: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            signalled: 0,
            is_over: false,
            watched: EventFlags::IN,
            in_line: false,
        }
    }

    /// Takes in messages, until there are none, the client has as much as it may have, or its turn
    /// is over.
    pub(crate) fn receive(&mut self, name: u64, shared: &mut Shared) {
        for _ in 0..TURN {
            if !self.can_receive(&shared.limits) {
                break;
            }
            let mut bytes = [0; REQUEST];
            match socket::receive(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Ok(mut message) => {
                    let done = self.handle(name, &bytes, &mut message, shared);
                    if !message.fds.is_empty() {
                        shared.closer.close(message.fds);
                    }
                    if let Err(refusal) = done {
                        self.refuse(&refusal);
                    }
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => break,
                Err(_) => self.is_over = true,
            }
        }
    }

    /// Does what a message asks for. Descriptors that it leaves in the message are closed.
    fn handle(
        &mut self,
        name: u64,
        bytes: &[u8],
        message: &mut Message,
        shared: &mut Shared,
    ) -> Result<(), Refusal> {
        let Message {
            length,
            ref mut fds,
            lost_fds,
        } = *message;
        if length == 0 {
            self.is_over = true;
            return Ok(());
        }
        let request = (length == bytes.len()).then(|| Request::read_from_bytes(bytes).ok());
        let Some(request) = request.flatten() else {
            let text = format_args!("a request has {REQUEST} bytes, and this message has {length}");
            return Err(Refusal::new(Errno::BADMSG, text));
        };
        let Some(opcode) = opcode(request.opcode) else {
            let text = format_args!("there is no request {}", request.opcode);
            return Err(Refusal::new(Errno::BADMSG, text));
        };
        let wanted = match opcode {
            Opcode::Hello => 2,
            Opcode::Register => 1,
            _ => 0,
        };
        if lost_fds {
            let text = "descriptors of this message are lost, because the server can't have more";
            return Err(Refusal::new(Errno::MFILE, text));
        }
        if fds.len() != wanted {
            let text = format_args!("a {opcode:?} has {wanted} descriptors, not {}", fds.len());
            return Err(Refusal::new(Errno::BADMSG, text));
        }
        let Some(session) = &mut self.session else {
            return self.begin(opcode, &request, fds, shared);
        };
        session.note_taken(request.taken)?;
        match opcode {
            Opcode::Hello => Err(Refusal::new(Errno::PROTO, "the client said hello before")),
            Opcode::Register | Opcode::Unregister if shared.closer.backlog() >= BACKLOG => {
                let text = "too many descriptors of clients wait until they are closed";
                Err(Refusal::new(Errno::BUSY, text))
            }
            Opcode::Register => {
                let Some(file) = fds.pop() else {
                    return Ok(());
                };
                let answer = match session.register(file, &shared.limits) {
                    Ok(file) => Ok(Answer {
                        file,
                        ..Answer::default()
                    }),
                    Err((refusal, file)) => {
                        fds.push(file);
                        Err(refusal)
                    }
                };
                self.answer(answer.as_ref(), None);
                Ok(())
            }
            Opcode::Unregister => {
                let answer = session.unregister(request.file).map(|file| {
                    shared.closer.release(file);
                    Answer::default()
                });
                self.answer(answer.as_ref(), None);
                Ok(())
            }
            Opcode::Read | Opcode::Write | Opcode::SyncData => {
                if let Some(job) = session.admit(name, opcode, &request, &shared.limits)? {
                    self.in_flight += 1;
                    self.waiting.push_back(job);
                }
                Ok(())
            }
        }
    }

    /// Does what the first message asks for.
    fn begin(
        &mut self,
        opcode: Opcode,
        hello: &Request,
        fds: &mut Vec<OwnedFd>,
        shared: &Shared,
    ) -> Result<(), Refusal> {
        if opcode != Opcode::Hello {
            let text = "the first message must be a hello";
            return Err(Refusal::new(Errno::PROTO, text));
        }
        let limits = &shared.limits;
        let (session, ring) = Session::new(hello, fds, limits, &shared.bell)?;
        let answer = Answer {
            places: session.places(),
            request: limits.request,
            ..Answer::default()
        };
        self.session = Some(session);
        self.answer(Ok(&answer), Some(ring));
        Ok(())
    }

    /// Sends an answer, or keeps it until there is room.
    fn answer(&mut self, answer: Result<&Answer, &Refusal>, fd: Option<OwnedFd>) {
        let mut bytes = Vec::new();
        match answer {
            Ok(answer) => bytes.extend(answer.as_bytes()),
            Err(refusal) => {
                let status = refusal.errno.raw_os_error().unsigned_abs();
                let answer = Answer {
                    status,
                    ..Answer::default()
                };
                bytes.extend(answer.as_bytes());
                bytes.extend(refusal.text.bytes().take(ANSWER - bytes.len()));
            }
        }
        self.unsent = Some((bytes, fd));
        self.send();
    }

    /// Sends the answer that waits, if the socket has room.
    pub(crate) fn send(&mut self) {
        let Some((bytes, fd)) = self.unsent.take() else {
            return;
        };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        let sent = socket::send(&self.socket, &bytes, &fds, SendFlags::DONTWAIT);
        match sent.map_err(|error| Errno::from_io_error(&error)) {
            Ok(()) => {}
            Err(Some(Errno::AGAIN)) => self.unsent = Some((bytes, fd)),
            Err(_) => self.is_over = true,
        }
    }

    /// Ends the connection. The client is told why, if the socket has room for that.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        if self.unsent.is_none() {
            self.answer(Err(refusal), None);
        }
        self.is_over = true;
    }

    /// A request is over.
    pub(crate) fn complete(&mut self, tag: u64, result: i64) {
        self.in_flight -= 1;
        if let Some(session) = &mut self.session {
            session.complete(tag, result);
        }
    }

    /// Whether the client has completions that its eventfd hasn't told of.
    pub(crate) fn take_signal(&mut self) -> bool {
        let published = self.session.as_ref().map_or(0, Session::published);
        mem::replace(&mut self.signalled, published) != published
    }

    pub(crate) fn eventfd(&self) -> Option<BorrowedFd<'_>> {
        self.session.as_ref().map(Session::eventfd)
    }

    fn can_receive(&self, limits: &Limits) -> bool {
        !self.is_over && self.unsent.is_none() && self.in_flight < limits.in_flight
    }

    /// What epoll has to watch the socket for.
    pub(crate) fn interest(&self, limits: &Limits, ending: bool) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.can_receive(limits) && !ending);
        flags.set(EventFlags::OUT, self.unsent.is_some());
        flags
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the client has connected, and then said nothing for too long.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.session.is_none() && now.saturating_duration_since(self.since) >= HELLO
    }

    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// The next request that waits for a slot, if there is room for one of its kind.
    pub(crate) fn next_waiting(&mut self, transfer: bool, sync: bool) -> Option<JobAndPart> {
        let has_room = match self.waiting.front()? {
            (_, Some(_)) => transfer,
            (_, None) => sync,
        };
        has_room.then(|| self.waiting.pop_front()).flatten()
    }

    /// Whether a request waits for a slot.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Connection {
    /// Throws away what the client has sent. Otherwise the kernel would tell the client of a reset
    /// connection before it gives it the last answer.
    fn drop(&mut self) {
        // If this fails, the client has left.
        let _ = shutdown(&self.socket, Shutdown::Both);
        let mut bytes = [0; REQUEST];
        let more = |message: Message| message.length > 0;
        while socket::receive(&self.socket, &mut bytes, RecvFlags::DONTWAIT).is_ok_and(more) {}
    }
}

/// What a client asks for. None: there is nothing with this number.
fn opcode(number: u32) -> Option<Opcode> {
    [
        Opcode::Hello,
        Opcode::Register,
        Opcode::Unregister,
        Opcode::Read,
        Opcode::Write,
        Opcode::SyncData,
    ]
    .into_iter()
    .find(|opcode| opcode.number() == number)
}
