//! Transfers as a whole, and syncs.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
};

use aio_safe::{
    AlignedBuf, Errno, Op, Pending, Queue,
    buf::IoBufExt,
    error::QueueError,
    op::{Payload, Transfer},
};
use aio_sim::File;

use crate::Flaw;

/// The bytes of a block: what all offsets and lengths are multiples of.
pub(crate) const BLOCK: usize = 512;

/// Why an engine can't do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The disk said so.
    Disk(Errno),
    /// The queue doesn't take operations.
    Queue(QueueError),
    /// A write took too long, and was dropped.
    TimedOut,
    /// What is on the disk makes no sense.
    Corrupt,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(errno) => errno.fmt(f),
            Self::Queue(error) => error.fmt(f),
            Self::TimedOut => f.write_str("a write took too long"),
            Self::Corrupt => f.write_str("what is on the disk makes no sense"),
        }
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

/// A queue, and how it is used.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) queue: Queue,
    pub(crate) flaw: Option<Flaw>,
}

impl Io {
    /// Whether the engine has this flaw.
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Submits an operation, as soon as the kernel has room for it.
    pub(crate) fn submit<P: Payload>(
        &self,
        file: &File,
        mut op: Op<P>,
    ) -> Result<Pending<P>, Failed> {
        loop {
            match self.queue.submit(file, op) {
                Ok(pending) => return Ok(pending),
                Err(error) if error.reason == QueueError::Again => op = error.op,
                Err(error) => return Err(Failed::Queue(error.reason)),
            }
        }
    }

    /// Writes all of some blocks.
    pub(crate) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> Result<(), Failed> {
        let pending = self.submit(file, Op::write(aligned(bytes).slice(..), offset))?;
        self.finish(file, pending, offset)
    }

    /// Waits for a write that was submitted, and writes what it left over.
    pub(crate) fn finish(
        &self,
        file: &File,
        pending: Pending<Transfer<aio_safe::buf::Slice<AlignedBuf>>>,
        offset: u64,
    ) -> Result<(), Failed> {
        let mut pending = pending;
        let mut done = 0;
        loop {
            let written = pending.wait();
            let buffer = written.buffer.into_inner();
            match written.result.map_err(aio_safe::OpError::errno) {
                Ok(_) if self.has(Flaw::ShortWriteIgnored) => return Ok(()),
                Err(Errno::EINTR) if self.has(Flaw::EintrDropped) => return Ok(()),
                Ok(n) => done += n / BLOCK * BLOCK,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if done >= buffer.len() {
                return Ok(());
            }
            let rest = Op::write(buffer.slice(done..), offset + done as u64);
            pending = self.submit(file, rest)?;
        }
    }

    /// Reads a whole file.
    pub(crate) fn read(&self, file: &File) -> Result<Vec<u8>, Failed> {
        let len = file.len() as usize;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let left = (len - bytes.len()).next_multiple_of(BLOCK);
            let buffer = AlignedBuf::with_capacity(left, BLOCK).expect("memory");
            let read = self.submit(file, Op::read(buffer, bytes.len() as u64))?;
            let read = read.wait();
            match read.result.map_err(aio_safe::OpError::errno) {
                // A part of a block at the end is read again with the rest, if there is more.
                Ok(n) if n / BLOCK * BLOCK > 0 => {
                    bytes.extend_from_slice(&read.buffer[..n / BLOCK * BLOCK]);
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(bytes)
    }

    /// Makes a file or the directory durable.
    pub(crate) fn sync(&self, file: &File) -> Result<(), Failed> {
        loop {
            let synced = self.submit(file, Op::fsync())?.wait();
            match synced.map_err(aio_safe::OpError::errno) {
                Ok(()) => return Ok(()),
                Err(errno) if !self.has(Flaw::SyncErrorRetried) || is_gone(file) => {
                    return Err(errno.into());
                }
                Err(_) => {}
            }
        }
    }
}

/// Whether a file's disk has no power.
fn is_gone(file: &File) -> bool {
    file.set_len(file.len()) == Err(Errno::EIO)
}

/// A copy that is aligned for direct I/O.
pub(crate) fn aligned(bytes: &[u8]) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(bytes.len(), BLOCK).expect("memory");
    buffer.copy_from_slice(bytes);
    buffer
}

/// A checksum. It isn't the same with each version of the standard library, which doesn't matter
/// here.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The number at a place.
pub(crate) fn number(bytes: &[u8], at: usize) -> u64 {
    let number = bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u64::from_le_bytes)
}

/// Stores a number at a place.
pub(crate) fn put_number(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}
