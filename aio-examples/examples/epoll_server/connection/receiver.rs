//! Takes requests out of a socket, piece by piece.

use std::{
    io::{self, Read},
    mem,
    net::TcpStream,
    time::Instant,
};

use aio_safe::AlignedBuf;
use rustix::io::Errno;

use super::cost;
use crate::{
    file,
    protocol::{Opcode, REQUEST, Request, Size, Status},
};

/// How much is thrown away in one call.
const DISCARD: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Receiver {
    state: State,
    /// When the request began that isn't whole, or when the last one was whole.
    since: Instant,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; REQUEST],
        filled: usize,
    },
    /// The header is there, and the connection has no memory left for the rest.
    Stalled(Request),
    Data {
        request: Request,
        buffer: AlignedBuf,
        filled: usize,
    },
    /// The data of a write that is refused. `left` bytes of them are to come.
    Refused {
        id: u64,
        status: Status,
        left: usize,
    },
}

const NOTHING: State = State::Header {
    bytes: [0; REQUEST],
    filled: 0,
};

pub(super) enum Received {
    /// A request, and the data of a write.
    Whole(Request, Option<AlignedBuf>),
    /// A request that can't be carried out.
    Refused(u64, Status),
    /// A request behind which nothing can be understood.
    Lost(u64, Status),
    /// No more for now.
    Part,
    /// The client sends no more.
    End,
}

/// What is wrong with a request.
enum Fault {
    Refused(Errno),
    Lost(Errno),
}

impl Receiver {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: NOTHING,
            since: now,
        }
    }

    /// The next request. It takes no more than `room` bytes of memory.
    pub(super) fn next(
        &mut self,
        stream: &TcpStream,
        size: Size,
        room: usize,
        now: Instant,
    ) -> io::Result<Received> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    if let Some(stopped) = fill(stream, bytes, filled, || self.since = now)? {
                        return Ok(stopped);
                    }
                    let request = Request::decode(bytes);
                    self.state = NOTHING;
                    match check(&request, size) {
                        Ok(()) => self.state = State::Stalled(request),
                        Err(Fault::Lost(errno)) => {
                            return Ok(Received::Lost(request.id, errno.into()));
                        }
                        Err(Fault::Refused(errno)) => {
                            self.state = State::Refused {
                                id: request.id,
                                status: errno.into(),
                                left: match request.opcode {
                                    Opcode::Write => request.length as usize,
                                    _ => 0,
                                },
                            }
                        }
                    }
                }
                State::Stalled(request) if cost(request) > room => return Ok(Received::Part),
                State::Stalled(request) => {
                    let request = *request;
                    // The time until there was memory isn't the client's.
                    self.since = now;
                    if request.opcode != Opcode::Write {
                        self.state = NOTHING;
                        return Ok(Received::Whole(request, None));
                    }
                    self.state = State::Data {
                        request,
                        buffer: file::buffer(request.length)?,
                        filled: 0,
                    };
                }
                State::Data { buffer, filled, .. } => {
                    if let Some(stopped) = fill(stream, buffer, filled, || {})? {
                        return Ok(stopped);
                    }
                    self.since = now;
                    let whole = mem::replace(&mut self.state, NOTHING);
                    if let State::Data {
                        request, buffer, ..
                    } = whole
                    {
                        return Ok(Received::Whole(request, Some(buffer)));
                    }
                }
                State::Refused {
                    id,
                    status,
                    left: 0,
                } => {
                    let refused = Received::Refused(*id, *status);
                    self.since = now;
                    self.state = NOTHING;
                    return Ok(refused);
                }
                State::Refused { left, .. } => {
                    let mut waste = [0; DISCARD];
                    let mut filled = 0;
                    let wanted = DISCARD.min(*left);
                    let stopped = fill(stream, &mut waste[..wanted], &mut filled, || {})?;
                    *left -= filled;
                    if let Some(stopped) = stopped {
                        return Ok(stopped);
                    }
                }
            }
        }
    }

    /// The request that waits for memory.
    pub(super) fn stalled(&self) -> Option<&Request> {
        match &self.state {
            State::Stalled(request) => Some(request),
            _ => None,
        }
    }

    /// When the request began that the client hasn't sent in full.
    pub(super) fn since(&self) -> Option<Instant> {
        match self.state {
            State::Header { filled: 0, .. } | State::Stalled(_) => None,
            _ => Some(self.since),
        }
    }

    /// When the last request began or was whole.
    pub(super) fn last(&self) -> Instant {
        self.since
    }
}

/// Whether a request can be carried out.
fn check(request: &Request, size: Size) -> Result<(), Fault> {
    let Request {
        offset,
        length,
        opcode,
        ..
    } = *request;
    let is_write = match opcode {
        Opcode::Sync | Opcode::Size if offset == 0 && length == 0 => return Ok(()),
        Opcode::Sync | Opcode::Size => return Err(Fault::Refused(Errno::INVAL)),
        Opcode::Unknown(_) => return Err(Fault::Lost(Errno::OPNOTSUPP)),
        Opcode::Write => true,
        Opcode::Read => false,
    };
    if length > size.request {
        return Err(match is_write {
            true => Fault::Lost(Errno::MSGSIZE),
            false => Fault::Refused(Errno::MSGSIZE),
        });
    }
    if length == 0 || length % size.block != 0 || offset % u64::from(size.block) != 0 {
        return Err(Fault::Refused(Errno::INVAL));
    }
    match offset.checked_add(u64::from(length)) {
        Some(end) if end <= size.bytes => Ok(()),
        _ => Err(Fault::Refused(Errno::RANGE)),
    }
}

/// Reads until a buffer is full. Returns why it isn't, if it isn't. `began` is called when its
/// first byte comes.
fn fill(
    mut stream: &TcpStream,
    buffer: &mut [u8],
    filled: &mut usize,
    mut began: impl FnMut(),
) -> io::Result<Option<Received>> {
    while *filled < buffer.len() {
        match stream.read(&mut buffer[*filled..]) {
            Ok(0) => return Ok(Some(Received::End)),
            Ok(n) => {
                if *filled == 0 {
                    began();
                }
                *filled += n;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Some(Received::Part));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Throws away what the client has sent. Returns whether the client sends no more.
pub(super) fn discard(stream: &TcpStream) -> io::Result<bool> {
    let stopped = fill(stream, &mut [0; DISCARD], &mut 0, || {})?;
    Ok(matches!(stopped, Some(Received::End)))
}
