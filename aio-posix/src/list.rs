//! Lists of transfers.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd},
};

use aio_safe::{
    Errno, Op,
    buf::{IoBuf, IoBufMut},
    op::Transfer,
};

use crate::{Control, engine::What};

/// Transfers that are submitted together, for
/// [`lio_listio_wait`](crate::Aio::lio_listio_wait) and
/// [`lio_listio_nowait`](crate::Aio::lio_listio_nowait). They are begun in their order.
#[derive(Debug)]
pub struct List<'f, B: 'static> {
    pub(crate) entries: Vec<Entry<'f, B>>,
    next: OpOf<B>,
}

#[derive(Debug)]
pub(crate) struct Entry<'f, B: 'static> {
    pub(crate) file: BorrowedFd<'f>,
    pub(crate) control: Control<B>,
    pub(crate) op: OpOf<B>,
}

/// Makes an operation of a buffer and an offset, and tells how long it is.
type Make<B> = fn(B, u64) -> (usize, Op<Transfer<B>>);

/// What makes an operation of a buffer.
pub(crate) enum OpOf<B: 'static> {
    Read(Make<B>),
    Write(Make<B>),
}

impl<B: 'static> OpOf<B> {
    pub(crate) fn what(self) -> What {
        match self {
            Self::Read(_) => What::Read,
            Self::Write(_) => What::Write,
        }
    }

    pub(crate) fn of(self, buffer: B, offset: u64) -> (usize, Op<Transfer<B>>) {
        match self {
            Self::Read(make) | Self::Write(make) => make(buffer, offset),
        }
    }
}

impl<B> Clone for OpOf<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for OpOf<B> {}

impl<B> fmt::Debug for OpOf<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what().fmt(f)
    }
}

impl<'f, B: IoBuf> List<'f, B> {
    /// An empty list. What is pushed is written, until [`read`](Self::read) says otherwise.
    pub fn writes() -> Self {
        Self {
            entries: Vec::new(),
            next: OpOf::Write(write_of),
        }
    }

    /// What is pushed from now on is written.
    pub fn write(mut self) -> Self {
        self.next = OpOf::Write(write_of);
        self
    }

    /// Adds a transfer.
    pub fn push(mut self, file: &'f (impl AsFd + ?Sized), control: Control<B>) -> Self {
        self.entries.push(Entry {
            file: file.as_fd(),
            control,
            op: self.next,
        });
        self
    }

    /// How many transfers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<B: IoBufMut> List<'_, B> {
    /// An empty list. What is pushed is read, until [`write`](Self::write) says otherwise.
    pub fn reads() -> Self {
        Self {
            entries: Vec::new(),
            next: OpOf::Read(read_of),
        }
    }

    /// What is pushed from now on is read.
    pub fn read(mut self) -> Self {
        self.next = OpOf::Read(read_of);
        self
    }
}

fn write_of<B: IoBuf>(buffer: B, offset: u64) -> (usize, Op<Transfer<B>>) {
    (buffer.io_len(), Op::write(buffer, offset))
}

fn read_of<B: IoBufMut>(buffer: B, offset: u64) -> (usize, Op<Transfer<B>>) {
    (buffer.io_capacity(), Op::read(buffer, offset))
}

/// A list wasn't taken. Nothing of it was begun.
#[derive(Debug)]
pub struct ListError<B> {
    /// Why: EAGAIN if there are as many lists in flight as [`Config::lists`](crate::Config::lists)
    /// allows, EINVAL in a child of the process that made the [`Aio`](crate::Aio), EDEADLK if it
    /// was to be waited for [within](crate::Aio#the-programs-code) the engine.
    pub errno: Errno,
    /// The transfers, unchanged, in their order.
    pub controls: Vec<Control<B>>,
}

impl<B: 'static> ListError<B> {
    pub(crate) fn new(errno: Errno, list: List<'_, B>) -> Self {
        let controls = list.entries.into_iter().map(|entry| entry.control);
        Self {
            errno,
            controls: controls.collect(),
        }
    }
}

impl<B> fmt::Display for ListError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list wasn't taken: {}", self.errno)
    }
}

impl<B: fmt::Debug> std::error::Error for ListError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}
