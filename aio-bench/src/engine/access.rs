//! How an engine's operations reach the file: through its descriptor, or through a [`File`] of
//! aio-safe.

use std::os::fd::AsFd;

use aio_safe::{
    AlignedBuf, BufResult, Op, OpError, Pending, Queue,
    fs::{self, File, Transferring},
    op::Transfer,
};
use anyhow::Result;

use crate::work::Work;

/// The file of an engine on a queue of aio-safe.
pub(super) trait Access: AsFd + Sized {
    /// An operation that was submitted by itself.
    type Submitted<'a>: Submitted
    where
        Self: 'a;

    fn of(work: &Work) -> Result<Self>;

    /// The operation on the block at `offset`, for a batch or a lane.
    fn op(&self, write: bool, buffer: AlignedBuf, offset: u64) -> Result<Op<Transfer<AlignedBuf>>>;

    /// Submits the operation on the block at `offset`.
    fn submit<'a>(
        &'a self,
        queue: &'a Queue,
        write: bool,
        buffer: AlignedBuf,
        offset: u64,
    ) -> Result<Self::Submitted<'a>>;
}

/// An operation that was submitted by itself: a future, or something to wait for.
pub(super) trait Submitted:
    Future<Output = BufResult<usize, AlignedBuf, <Self as Submitted>::Error>>
{
    type Error: Errno;

    fn wait(self) -> Self::Output;
}

/// An operation's error.
pub(super) trait Errno {
    /// An errno times -1.
    fn negative(&self) -> i64;
}

/// A transfer's result as the kernel gave it: a count of bytes, or an errno times -1.
#[inline]
pub(super) fn number(result: Result<usize, impl Errno>) -> i64 {
    match result {
        Ok(n) => n as i64,
        Err(error) => error.negative(),
    }
}

/// The bare descriptor.
impl Access for std::fs::File {
    type Submitted<'a> = Pending<Transfer<AlignedBuf>>;

    fn of(work: &Work) -> Result<Self> {
        Ok(work.file.try_clone()?)
    }

    #[inline(always)]
    fn op(&self, write: bool, buffer: AlignedBuf, offset: u64) -> Result<Op<Transfer<AlignedBuf>>> {
        Ok(if write {
            Op::write(buffer, offset)
        } else {
            Op::read(buffer, offset)
        })
    }

    #[inline(always)]
    fn submit<'a>(
        &'a self,
        queue: &'a Queue,
        write: bool,
        buffer: AlignedBuf,
        offset: u64,
    ) -> Result<Self::Submitted<'a>> {
        Ok(if write {
            queue.submit(self, Op::write(buffer, offset))?
        } else {
            queue.submit(self, Op::read(buffer, offset))?
        })
    }
}

impl Access for File {
    type Submitted<'a> = Transferring<'a, AlignedBuf>;

    fn of(work: &Work) -> Result<Self> {
        Ok(work.file.try_clone()?.into())
    }

    #[inline(always)]
    fn op(&self, write: bool, buffer: AlignedBuf, offset: u64) -> Result<Op<Transfer<AlignedBuf>>> {
        Ok(if write {
            self.write_op(buffer, offset)?
        } else {
            self.read_op(buffer, offset)?
        })
    }

    #[inline(always)]
    fn submit<'a>(
        &'a self,
        queue: &'a Queue,
        write: bool,
        buffer: AlignedBuf,
        offset: u64,
    ) -> Result<Self::Submitted<'a>> {
        Ok(if write {
            self.write_at(queue, buffer, offset)
        } else {
            self.read_at(queue, buffer, offset)
        })
    }
}

impl Submitted for Pending<Transfer<AlignedBuf>> {
    type Error = OpError;

    #[inline(always)]
    fn wait(self) -> Self::Output {
        Pending::wait(self)
    }
}

impl Submitted for Transferring<'_, AlignedBuf> {
    type Error = fs::Error;

    #[inline(always)]
    fn wait(self) -> Self::Output {
        Transferring::wait(self)
    }
}

impl Errno for OpError {
    fn negative(&self) -> i64 {
        -i64::from(self.errno().raw())
    }
}

impl Errno for fs::Error {
    #[cold]
    fn negative(&self) -> i64 {
        match self {
            Self::Op(error) => error.negative(),
            // Nothing else is expected here.
            _ => -i64::from(libc::EIO),
        }
    }
}
