//! Messages with descriptors.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The kernel passes no more descriptors with one message.
pub(crate) const MOST_FDS: usize = 253;
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_FDS));

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Message {
    /// How long it is. If that is longer than the buffer, the rest is lost.
    pub(crate) length: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// Whether descriptors are lost, because this process can't have more.
    pub(crate) lost_fds: bool,
}

/// Receives a message. Its length is 0 if the other end sends no more.
pub(crate) fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(bytes)];
    let flags = flags | RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
    let received =
        rustix::io::retry_on_intr(|| recvmsg(&socket, &mut buffers, &mut control, flags))?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    Ok(Message {
        length: received.bytes,
        fds,
        lost_fds: received.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Sends a message.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}
