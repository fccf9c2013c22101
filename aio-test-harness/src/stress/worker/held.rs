//! Operations that are under way, and what is expected of them.

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

/// An operation that is under way on a shared queue.
#[derive(Debug)]
pub(in crate::stress) struct Held {
    pub(super) handle: Handle,
    pub(super) job: Job,
    pub(super) way: Way,
    pub(super) instance: Arc<Instance>,
}

/// The handle of any kind of operation.
#[derive(Debug)]
pub(super) enum Handle {
    One(Pending<Transfer<Buffer>>),
    Many(Pending<VectoredTransfer<Buffer>>),
    Sync(Pending<FileSync>),
    Poll(Pending<FilePoll>, Line),
}

/// What a poll is of.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) reader: UnixStream,
    pub(super) writer: UnixStream,
    /// There is something to read.
    pub(super) fired: bool,
}

/// What an operation is for, and what is expected of it.
#[derive(Debug)]
pub(in crate::stress) struct Job {
    /// The thread that submitted it.
    pub(super) owner: usize,
    pub(super) task: Task,
    /// It may fail with EAGAIN.
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
        /// Attached to the buffers, if the handle is to be given up.
        token: Option<Token>,
    },
    /// `io_submit` refuses it.
    Refused(Errno),
    /// It is taken, and fails.
    Failed(Errno),
    /// It transfers nothing.
    Nothing,
    Sync,
    Poll,
}

impl Task {
    /// The blocks that it is on.
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

/// What became of an operation's blocks.
#[derive(Debug)]
pub(in crate::stress) enum End {
    Unchanged,
    Written(u64),
    /// A write failed in a way that it may: the blocks may or may not have its version.
    Unsure,
    Abandoned(u64, Abandoned),
}

/// What threads send each other.
#[derive(Debug)]
pub(in crate::stress) enum Message {
    /// An operation, to be finished by the receiver.
    Parcel(Box<Held>),
    /// What became of one of the receiver's.
    Back(Job, End),
}
