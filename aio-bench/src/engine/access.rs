//! How an engine's operations reach the file: through its descriptor, or through a [`File`] of
//! aio-safe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aio_safe::{
    AlignedBuf, BufResult, Op, OpError, Pending, Queue, SubmitError,
    fs::{self, Alignment, File, Transferring},
    lane::LaneBatch,
    op::Transfer,
    queue::Batch,
};
use anyhow::{Error, Result, ensure};

use crate::work::Work;

/// Whether a batch took an operation, or hands it back.
pub(super) type Pushed = Result<(), SubmitError<Op<Transfer<AlignedBuf>>>>;

/// The file of an engine on a queue of aio-safe.
pub(super) trait Access: AsFd + Sized {
    /// An operation that was submitted by itself.
    type Submitted<'a>: Submitted
    where
        Self: 'a;

    fn of(work: &Work) -> Result<Self>;

    fn read_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>>;

    fn write_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>>;

    /// Pushes the operation on the block at `offset` to a batch.
    // An operation that both branches made would be copied.
    #[inline(always)]
    fn push<'a>(
        &'a self,
        batch: &mut Batch<'a, Transfer<AlignedBuf>>,
        write: bool,
        buffer: AlignedBuf,
        offset: u64,
    ) -> Pushed {
        if write {
            batch.push(self, self.write_op(buffer, offset))
        } else {
            batch.push(self, self.read_op(buffer, offset))
        }
    }

    /// Pushes the operation on the block at `offset` to a lane's batch. `fd` is the file's own
    /// descriptor, which the caller keeps in a register. `value` begins with the offset.
    #[inline(always)]
    fn push_to_lane<'l, T: Send + 'static>(
        &self,
        batch: &mut LaneBatch<'l, Transfer<AlignedBuf>, (u64, T)>,
        fd: &'l BorrowedFd<'_>,
        write: bool,
        buffer: AlignedBuf,
        value: (u64, T),
    ) -> Result<()> {
        let offset = value.0;
        let pushed = if write {
            batch.push(fd, self.write_op(buffer, offset), value)
        } else {
            batch.push(fd, self.read_op(buffer, offset), value)
        };
        pushed.map_err(|back| Error::new(back.reason))
    }

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
impl Access for OwnedFd {
    type Submitted<'a> = Pending<Transfer<AlignedBuf>>;

    fn of(work: &Work) -> Result<Self> {
        Ok(work.file.try_clone()?.into())
    }

    #[inline(always)]
    fn read_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>> {
        Op::read(buffer, offset)
    }

    #[inline(always)]
    fn write_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>> {
        Op::write(buffer, offset)
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

/// The block size is checked once, when the engine is set up.
const ALIGNED: &str = "blocks are aligned";

impl Access for File {
    type Submitted<'a> = Transferring<'a, AlignedBuf>;

    fn of(work: &Work) -> Result<Self> {
        let file = Self::from(work.file.try_clone()?);
        let Alignment { offset, length, .. } = file.alignment();
        ensure!(
            work.block % length == 0 && work.block as u64 % offset == 0,
            "blocks of {} bytes aren't aligned to {length}",
            work.block
        );
        Ok(file)
    }

    #[inline(always)]
    fn read_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>> {
        File::read_op(self, buffer, offset).expect(ALIGNED)
    }

    #[inline(always)]
    fn write_op(&self, buffer: AlignedBuf, offset: u64) -> Op<Transfer<AlignedBuf>> {
        File::write_op(self, buffer, offset).expect(ALIGNED)
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
