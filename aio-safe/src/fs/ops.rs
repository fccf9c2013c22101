//! Operations that are checked before they are submitted, in whichever way.

use super::{File, Misaligned};
use crate::{
    Op,
    buf::{IoBuf, IoBufMut},
    op::{Transfer, VectoredTransfer},
};

/// Operations for [`Queue::submit`](crate::Queue::submit), a batch or a lane. They aren't bound to
/// this file: submit them on it. What became of them is an [`OpError`](crate::OpError), and nothing
/// is continued or submitted again.
impl File {
    /// A read of this file, as [`Op::read`] makes it, if it is [aligned](Self::alignment).
    ///
    /// # Errors
    ///
    /// [`Misaligned`] hands the buffer back.
    ///
    /// ```
    /// use aio_safe::{Queue, fs::File};
    /// # let dir = tempfile::tempdir_in(".")?;
    /// # let path = dir.path().join("file");
    /// # std::fs::write(&path, "hello")?;
    ///
    /// let (queue, file) = (Queue::new(8)?, File::open(path)?);
    /// let mut batch = queue.batch();
    /// batch.push(&file, file.read_op(file.buffer(4096)?, 0)?)?;
    /// let mut handles = Vec::new();
    /// batch.submit(&mut handles)?;
    /// for read in handles {
    ///     assert_eq!(&read.wait().buffer[..], b"hello");
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn read_op<B: IoBufMut>(
        &self,
        buffer: B,
        offset: u64,
    ) -> Result<Op<Transfer<B>>, Misaligned<B>> {
        let (address, length) = (buffer.io_ptr().addr(), buffer.io_capacity());
        if self.alignment_ref().fits(address, length, offset) {
            return Ok(Op::read(buffer, offset).made_by(self.id()));
        }
        let reason = self.alignment_ref().misaligned(0, address, length, offset);
        Err(Misaligned { reason, buffer })
    }

    /// A write to this file, as [`Op::write`] makes it, if it is [aligned](Self::alignment).
    ///
    /// # Errors
    ///
    /// [`Misaligned`] hands the buffer back.
    #[inline]
    pub fn write_op<B: IoBuf>(
        &self,
        buffer: B,
        offset: u64,
    ) -> Result<Op<Transfer<B>>, Misaligned<B>> {
        let (address, length) = (buffer.io_ptr().addr(), buffer.io_len());
        if self.alignment_ref().fits(address, length, offset) {
            return Ok(Op::write(buffer, offset).made_by(self.id()));
        }
        let reason = self.alignment_ref().misaligned(0, address, length, offset);
        Err(Misaligned { reason, buffer })
    }

    /// A vectored read of this file, as [`Op::read_vectored`] makes it, if each buffer and the
    /// offset are [aligned](Self::alignment).
    ///
    /// # Errors
    ///
    /// [`Misaligned`] hands the buffers back.
    pub fn read_vectored_op<B: IoBufMut>(
        &self,
        buffers: Vec<B>,
        offset: u64,
    ) -> Result<Op<VectoredTransfer<B>>, Misaligned<Vec<B>>> {
        let checked = self
            .alignment_ref()
            .check_all(&buffers, B::io_capacity, offset);
        match checked {
            Ok(()) => Ok(Op::read_vectored(buffers, offset).made_by(self.id())),
            Err(reason) => Err(Misaligned {
                reason,
                buffer: buffers,
            }),
        }
    }

    /// A vectored write to this file, as [`Op::write_vectored`] makes it, if each buffer and the
    /// offset are [aligned](Self::alignment).
    ///
    /// # Errors
    ///
    /// [`Misaligned`] hands the buffers back.
    pub fn write_vectored_op<B: IoBuf>(
        &self,
        buffers: Vec<B>,
        offset: u64,
    ) -> Result<Op<VectoredTransfer<B>>, Misaligned<Vec<B>>> {
        let checked = self.alignment_ref().check_all(&buffers, B::io_len, offset);
        match checked {
            Ok(()) => Ok(Op::write_vectored(buffers, offset).made_by(self.id())),
            Err(reason) => Err(Misaligned {
                reason,
                buffer: buffers,
            }),
        }
    }
}
