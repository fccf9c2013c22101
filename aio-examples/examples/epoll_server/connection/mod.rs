//! A client's connection: its requests and responses, and what it may use.
//!
//! A request counts from its header on until its response is sent, and so does its memory. A
//! connection whose requests or memory are at the limit isn't read from. What the client sends then
//! stays in the kernel, until the client can't send any more.

mod receiver;
mod sender;

use std::{
    collections::VecDeque,
    io, mem,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use aio_safe::AlignedBuf;
use rustix::{event::epoll::EventFlags, net::sockopt::set_socket_linger};

use crate::{
    limits::{LINGER, Limits},
    protocol::{Opcode, RESPONSE, Request, Size, Status},
};
use receiver::{Received, Receiver};
use sender::Sender;

pub(crate) use sender::Data;

/// How many requests are received before it is the next connection's turn.
const TURN: usize = 16;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    receiver: Receiver,
    sender: Sender,
    /// Reads and writes that wait for a slot of the queue, each write with its data.
    waiting: VecDeque<(Request, Option<AlignedBuf>)>,
    /// Syncs that the disk wasn't told of.
    syncs: Vec<Request>,
    /// Requests whose responses aren't sent.
    requests: usize,
    /// Bytes of these requests and responses.
    held: usize,
    phase: Phase,
    /// Since when there is nothing to do, if there is nothing to do.
    idle_since: Instant,
    /// What epoll watches the socket for.
    pub(crate) watched: EventFlags,
    /// Whether the connection is in the line for slots of the queue.
    pub(crate) in_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requests are received.
    Open,
    /// No more requests are received: the client has said that it sends none.
    Answering,
    /// No more requests are received, though the client may send some.
    Ending,
    /// All responses are sent. What the client sends is thrown away until it closes its end.
    Lingering { until: Instant },
    /// The connection is over.
    Over,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            receiver: Receiver::new(now),
            sender: Sender::new(now),
            waiting: VecDeque::new(),
            syncs: Vec::new(),
            requests: 0,
            held: 0,
            phase: Phase::Open,
            idle_since: now,
            watched: EventFlags::empty(),
            in_line: false,
        })
    }

    /// Takes in requests, until there are none, the connection is at a limit, or its turn is over.
    pub(crate) fn receive(&mut self, size: Size, limits: &Limits, now: Instant) -> io::Result<()> {
        if let Phase::Lingering { .. } = self.phase {
            if receiver::discard(&self.stream)? {
                self.phase = Phase::Over;
            }
            return Ok(());
        }
        for _ in 0..TURN {
            if self.phase != Phase::Open || self.requests >= limits.in_flight {
                break;
            }
            let room = limits.buffered.saturating_sub(self.held);
            match self.receiver.next(&self.stream, size, room, now)? {
                Received::Whole(request, data) => {
                    self.requests += 1;
                    self.held += cost(&request);
                    match request.opcode {
                        Opcode::Read | Opcode::Write => self.waiting.push_back((request, data)),
                        Opcode::Sync => self.syncs.push(request),
                        _ => self.answer(&request, Ok(Data::Size(size.encode())), now),
                    }
                }
                Received::Refused(id, status) => self.refuse(id, status, now),
                Received::Lost(id, status) => {
                    self.refuse(id, status, now);
                    self.phase = Phase::Ending;
                }
                Received::Part => break,
                Received::End => self.phase = Phase::Answering,
            }
        }
        Ok(())
    }

    /// Queues the response to a request that was taken in.
    pub(crate) fn answer(&mut self, request: &Request, result: Result<Data, Status>, now: Instant) {
        self.held -= cost(request);
        self.held += self.sender.push(request.id, result, now);
    }

    /// Queues the response to a request that wasn't.
    fn refuse(&mut self, id: u64, status: Status, now: Instant) {
        self.requests += 1;
        self.held += self.sender.push(id, Err(status), now);
    }

    /// Sends what the socket takes, and takes in the request that had to wait for memory.
    pub(crate) fn go_on(&mut self, size: Size, limits: &Limits, now: Instant) -> io::Result<()> {
        loop {
            let sent = self.sender.send(&self.stream, now)?;
            if sent.responses > 0 {
                self.idle_since = now;
            }
            self.requests -= sent.responses;
            self.held -= sent.bytes;
            if !self.can_take_stalled(limits) {
                break;
            }
            self.receive(size, limits, now)?;
        }
        if self.requests == 0 {
            match self.phase {
                Phase::Answering => self.phase = Phase::Over,
                Phase::Ending => {
                    self.stream.shutdown(Shutdown::Write)?;
                    let until = now + LINGER;
                    self.phase = Phase::Lingering { until };
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a request waits for memory, and there is enough now.
    fn can_take_stalled(&self, limits: &Limits) -> bool {
        let stalled = self.receiver.stalled();
        stalled.is_some_and(|request| cost(request) <= limits.buffered.saturating_sub(self.held))
            && self.requests < limits.in_flight
            && self.phase == Phase::Open
    }

    /// What epoll has to watch the socket for.
    pub(crate) fn interest(&self, limits: &Limits) -> EventFlags {
        let reads = match self.phase {
            Phase::Open => self.requests < limits.in_flight && self.receiver.stalled().is_none(),
            Phase::Lingering { .. } => true,
            Phase::Answering | Phase::Ending | Phase::Over => false,
        };
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, reads);
        flags.set(EventFlags::OUT, !self.sender.is_empty());
        flags
    }

    /// Takes in no more requests. Those that it has are answered.
    pub(crate) fn end(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the client has had its time.
    pub(crate) fn is_overdue(&self, limits: &Limits, now: Instant) -> bool {
        if let Phase::Lingering { until } = self.phase {
            return now >= until;
        }
        let is_idle = self.requests == 0;
        [
            self.sender.since(),
            self.receiver.since().filter(|_| self.phase == Phase::Open),
            is_idle.then_some(self.idle_since.max(self.receiver.last())),
        ]
        .into_iter()
        .flatten()
        .any(|since| now.saturating_duration_since(since) > limits.timeout)
    }

    /// Makes closing the socket reset it, if responses are left. Otherwise the kernel would keep
    /// what it has of them, for a client that doesn't read them.
    pub(crate) fn give_up(&self) {
        if !self.sender.is_empty() {
            // If this fails, the kernel gives up by itself, only later.
            let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }

    /// The next read or write that waits for a slot.
    pub(crate) fn next_waiting(&mut self) -> Option<(Request, Option<AlignedBuf>)> {
        self.waiting.pop_front()
    }

    /// Whether a read or a write waits for a slot.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The syncs that came since the last call.
    pub(crate) fn take_syncs(&mut self) -> Vec<Request> {
        mem::take(&mut self.syncs)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// How much memory a request takes, until its response is queued.
fn cost(request: &Request) -> usize {
    RESPONSE
        + match request.opcode {
            Opcode::Read | Opcode::Write => request.length as usize,
            _ => 0,
        }
}
