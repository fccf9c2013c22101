//! A client that blocks.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::protocol::{RESPONSE, Request, Response, Status};

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

/// A response with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) result: Result<Vec<u8>, Status>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends a request and its data, and doesn't wait for the response.
    pub(crate) fn send(&mut self, request: &Request, data: &[u8]) -> io::Result<()> {
        let header = request.encode();
        let sent = self
            .stream
            .write_vectored(&[IoSlice::new(&header), IoSlice::new(data)])?;
        self.stream.write_all(header.get(sent..).unwrap_or(&[]))?;
        let of_data = sent.saturating_sub(header.len());
        self.stream.write_all(&data[of_data..])
    }

    /// Waits for the next response, whichever request it belongs to. `UnexpectedEof` when the
    /// server has closed the connection.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let mut header = [0; RESPONSE];
        self.stream.read_exact(&mut header)?;
        let Response { id, result } = Response::decode(&header);
        let result = match result {
            Ok(length) => {
                let mut data = vec![0; length as usize];
                self.stream.read_exact(&mut data)?;
                Ok(data)
            }
            Err(status) => Err(status),
        };
        Ok(Answer { id, result })
    }
}
