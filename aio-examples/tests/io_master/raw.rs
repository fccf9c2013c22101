//! Messages of any kind, and what comes back.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{SendFlags, sockopt};
use zerocopy::IntoBytes;

use crate::{
    client::{self, Client},
    server::LIMIT,
    socket,
    wire::{Completion, MAGIC, Opcode, Request},
};

/// A request with nothing but its kind.
pub(crate) fn request(opcode: Opcode) -> Request {
    Request {
        opcode: opcode.number(),
        ..Request::default()
    }
}

pub(crate) fn hello() -> Request {
    Request {
        tag: MAGIC,
        ..request(Opcode::Hello)
    }
}

/// A transfer of some bytes between the start of a file and the start of the memory.
pub(crate) fn transfer(opcode: Opcode, file: u32, length: u32) -> Request {
    Request {
        file,
        length,
        ..request(opcode)
    }
}

/// Sends bytes and descriptors.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket::send(socket, bytes, fds, SendFlags::empty())
}

/// Sends a request as it is.
pub(crate) fn send_request(client: &Client, request: &Request) -> io::Result<()> {
    send(&client.socket, request.as_bytes(), &[])
}

/// Says hello with these descriptors, and returns the reason for the refusal.
pub(crate) fn refused_hello(socket: OwnedFd, memory: &File, eventfd: impl AsFd) -> String {
    let eventfd = File::from(eventfd.as_fd().try_clone_to_owned().unwrap());
    let refused = Client::introduce(socket, memory.try_clone().unwrap(), eventfd);
    refused.expect_err("it has to be refused").to_string()
}

/// Waits for an answer that refuses something, and returns its text. No answer within the time
/// limit is an error.
pub(crate) fn refusal(socket: &OwnedFd) -> String {
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(LIMIT)).unwrap();
    client::receive(socket)
        .expect_err("it has to be refused")
        .to_string()
}

/// Waits until the server ends the connection, whose last word has to contain this text.
pub(crate) fn await_end(socket: &OwnedFd, text: &str) {
    let refusal = refusal(socket);
    assert!(refusal.contains(text), "the last word is {refusal:?}");
    let error = client::receive(socket).expect_err("the connection is over");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
}

/// Carries out one request.
pub(crate) fn carry_out(client: &mut Client, request: Request) -> i64 {
    let tag = fastrand::u64(..);
    client.submit(Request { tag, ..request }).unwrap();
    let Completion { tag: got, result } = client.wait().unwrap();
    assert_eq!(got, tag);
    result
}
