//! Operations in flight, and what is expected of them.

use std::{os::unix::net::UnixStream, sync::Arc};

use aio_safe::{
    Errno, Pending,
    op::{FilePoll, FileSync, Transfer, VectoredTransfer},
};

use crate::stress::{
    buffer::{Buffer, MOST, Token},
    model::Abandoned,
    pattern::Expect,
    plan::Way,
    shared::Instance,
    target::Block,
};

/// An operation in flight on a shared queue.
#[derive(Debug)]
pub(in crate::stress) struct Held {
    pub(super) handle: Handle,
    pub(super) job: Job,
    pub(super) way: Way,
    pub(super) instance: Arc<Instance>,
}

/// The handle of an operation of any kind.
#[derive(Debug)]
pub(super) enum Handle {
    One(Pending<Transfer<Buffer>>),
    Many(Pending<VectoredTransfer<Buffer>>),
    Sync(Pending<FileSync>),
    Poll(Pending<FilePoll>, Line),
}

/// The sockets of a poll.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) reader: UnixStream,
    pub(super) writer: UnixStream,
    /// Whether there is something to read.
    pub(super) fired: bool,
}

/// The purpose of an operation, and the expected result.
#[derive(Debug)]
pub(in crate::stress) struct Job {
    /// The thread that submitted it.
    pub(super) owner: usize,
    pub(super) task: Task,
    /// Whether the operation may fail with EAGAIN.
    pub(super) nowait: bool,
}

#[derive(Debug)]
pub(super) enum Task {
    Read {
        first: Block,
        len: usize,
        expect: [Expect; MOST],
    },
    Write {
        first: Block,
        len: usize,
        version: u64,
        /// The token of the buffers, if the handle will be abandoned.
        token: Option<Token>,
    },
    /// `io_submit` refuses the operation.
    Refused(Errno),
    /// The operation is accepted and fails.
    Failed(Errno),
    /// The operation transfers nothing.
    Nothing,
    Sync,
    Poll,
}

impl Task {
    /// The blocks of the operation.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let (first, len) = match *self {
            Self::Read { first, len, .. } | Self::Write { first, len, .. } => (first, len),
            _ => (
                Block {
                    target: 0,
                    number: 0,
                },
                0,
            ),
        };
        (0..len).map(move |n| first.plus(n))
    }
}

/// What happened to the blocks of an operation.
#[derive(Debug)]
pub(in crate::stress) enum End {
    Unchanged,
    Written(u64),
    /// A write failed in an allowed way. The blocks may or may not have its version.
    Unsure,
    Abandoned(u64, Abandoned),
}

/// The messages between threads.
#[derive(Debug)]
pub(in crate::stress) enum Message {
    /// An operation that the receiver finishes.
    Parcel(Box<Held>),
    /// What happened to an operation of the receiver.
    Back(Job, End),
}
