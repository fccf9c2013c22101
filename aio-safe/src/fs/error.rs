//! What can go wrong with an operation of a file.

use std::{error, fmt, io};

use super::Misalignment;
use crate::{OpError, error::QueueError};

/// An operation of a [`File`](crate::fs::File) didn't succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The transfer isn't aligned as the file needs it. It wasn't submitted.
    Misaligned(Box<Misalignment>),
    /// The queue didn't take the operation, or not its continuation after a short transfer:
    ///
    /// - [`Closed`](QueueError::Closed) and [`Forked`](QueueError::Forked);
    /// - [`Again`](QueueError::Again) when the kernel still had no room after many attempts.
    Queue(QueueError),
    /// The kernel refused the operation, or the operation failed. If it took several transfers, the
    /// first ones may have taken place.
    Op(OpError),
    /// [`read_exact_at`](crate::fs::File::read_exact_at): the file ends too early.
    UnexpectedEof {
        /// How many bytes there were.
        read: usize,
        /// How many bytes were asked for.
        needed: usize,
    },
    /// [`write_all_at`](crate::fs::File::write_all_at): a write wrote nothing.
    WriteZero {
        /// How many bytes were written before.
        written: usize,
        /// How many bytes were to be written.
        needed: usize,
    },
    /// [`read_exact_at`](crate::fs::File::read_exact_at): the length is more than the buffer's
    /// capacity. Nothing was submitted.
    BufferTooSmall {
        /// The buffer's capacity in bytes.
        capacity: usize,
        /// How many bytes were asked for.
        needed: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned(reason) => reason.fmt(f),
            Self::Queue(reason) => reason.fmt(f),
            Self::Op(reason) => reason.fmt(f),
            Self::UnexpectedEof { read, needed } => {
                write!(f, "the file ends after {read} of {needed} bytes")
            }
            Self::WriteZero { written, needed } => {
                write!(
                    f,
                    "no more could be written after {written} of {needed} bytes"
                )
            }
            Self::BufferTooSmall { capacity, needed } => write!(
                f,
                "{needed} bytes can't be read into a buffer with a capacity of {capacity}"
            ),
        }
    }
}

impl error::Error for Error {}

impl From<Misalignment> for Error {
    #[cold]
    fn from(reason: Misalignment) -> Self {
        Self::Misaligned(Box::new(reason))
    }
}

impl From<QueueError> for Error {
    fn from(reason: QueueError) -> Self {
        Self::Queue(reason)
    }
}

impl From<OpError> for Error {
    fn from(reason: OpError) -> Self {
        Self::Op(reason)
    }
}

impl From<Error> for io::Error {
    /// Keeps the errno of an operation that the kernel answered: `raw_os_error` returns it.
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Misaligned(reason) => return (*reason).into(),
            Error::Queue(reason) => return reason.into(),
            Error::Op(reason) => return reason.into(),
            Error::UnexpectedEof { .. } => io::ErrorKind::UnexpectedEof,
            Error::WriteZero { .. } => io::ErrorKind::WriteZero,
            Error::BufferTooSmall { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
