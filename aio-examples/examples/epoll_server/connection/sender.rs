//! Sends responses, as fast as the client takes them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    net::TcpStream,
    time::Instant,
};

use aio_safe::AlignedBuf;

use crate::protocol::{RESPONSE, Response, Size, Status};

/// How many responses go to the socket in one call.
const GATHER: usize = 16;

/// What a response carries.
#[derive(Debug)]
pub(crate) enum Data {
    None,
    Blocks(AlignedBuf),
    Size([u8; Size::LEN]),
}

impl Data {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Blocks(blocks) => blocks,
            Self::Size(size) => size,
        }
    }
}

#[derive(Debug)]
pub(super) struct Sender {
    queue: VecDeque<([u8; RESPONSE], Data)>,
    /// How many bytes of the first response are sent.
    sent: usize,
    /// Since when the client can take the first response.
    since: Instant,
}

/// What was sent in full.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) responses: usize,
    pub(super) bytes: usize,
}

impl Sender {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            sent: 0,
            since: now,
        }
    }

    /// Queues a response, and returns how many bytes it has.
    pub(super) fn push(&mut self, id: u64, result: Result<Data, Status>, now: Instant) -> usize {
        let (result, data) = match result {
            Ok(data) => (Ok(data.as_slice().len() as u32), data),
            Err(status) => (Err(status), Data::None),
        };
        if self.queue.is_empty() {
            self.since = now;
        }
        let bytes = RESPONSE + data.as_slice().len();
        self.queue
            .push_back((Response { id, result }.encode(), data));
        bytes
    }

    /// Sends until everything is sent, or the socket takes no more.
    pub(super) fn send(&mut self, mut stream: &TcpStream, now: Instant) -> io::Result<Sent> {
        let mut all = Sent::default();
        while !self.queue.is_empty() {
            let mut parts = [IoSlice::new(&[]); 2 * GATHER];
            let mut skip = self.sent;
            for ((header, data), parts) in self.queue.iter().zip(parts.chunks_exact_mut(2)) {
                parts[0] = IoSlice::new(&header[skip.min(RESPONSE)..]);
                parts[1] = IoSlice::new(&data.as_slice()[skip.saturating_sub(RESPONSE)..]);
                skip = 0;
            }
            match stream.write_vectored(&parts) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            while let Some((_, data)) = self.queue.front() {
                let bytes = RESPONSE + data.as_slice().len();
                if self.sent < bytes {
                    break;
                }
                self.sent -= bytes;
                self.queue.pop_front();
                self.since = now;
                all.responses += 1;
                all.bytes += bytes;
            }
        }
        Ok(all)
    }

    /// Since when the client can take the first response, if there is one.
    pub(super) fn since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.since)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
