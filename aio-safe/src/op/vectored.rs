//! Reads and writes of several buffers at once.

use std::fmt;

use aio_abi::{Iovec, Opcode};

use super::{Op, Payload, ReadWrite, sealed};
use crate::{
    BufResult, OpError,
    buf::{IoBuf, IoBufMut},
};

/// The largest number of buffers that is passed to the kernel. It is one more than the kernel takes
/// (`UIO_MAXIOV`), so the kernel refuses too many buffers.
const MOST: usize = 1024 + 1;

/// A read or a write that fills or empties several buffers, one after the other.
pub struct VectoredTransfer<B> {
    buffers: Vec<B>,
    /// The iovecs, which the kernel copies in `io_submit`. Allocated once, with room for each
    /// buffer, up to [`MOST`]. There has to be a limit, because a `Vec` of zero-sized buffers can
    /// have more elements than an allocation has bytes.
    iovecs: Vec<Iovec>,
    iovec: fn(&mut B) -> Iovec,
    settle: fn(&mut [B], usize),
}

// SAFETY: the buffers are Send. The pointers in `iovecs` are to those buffers, and only the kernel
// follows them.
#[expect(unsafe_code, reason = "iovecs hold raw pointers")]
unsafe impl<B: Send> Send for VectoredTransfer<B> {}

// SAFETY: through a `&VectoredTransfer` only the number of buffers can be read. `into_buffers`
// takes the transfer by value, and the crate's own methods take it by value or by `&mut`. So an
// error that hands an operation back is Sync, whatever buffers it has.
#[expect(unsafe_code, reason = "iovecs hold raw pointers")]
unsafe impl<B: Send> Sync for VectoredTransfer<B> {}

impl<B: Send + 'static> ReadWrite for VectoredTransfer<B> {}

impl<B: Send + 'static> Op<VectoredTransfer<B>> {
    /// Reads into several buffers, the first one first, from a byte offset of the file. The kernel
    /// takes at most 1024 buffers, and refuses more with EINVAL.
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("file");
    /// # std::fs::write(&path, "head and body")?;
    ///
    /// let queue = Queue::new(1)?;
    /// let file = std::fs::File::open(path)?;
    /// let parts = vec![vec![0_u8; 4], vec![0; 64]];
    /// let (n, parts) = queue.submit(&file, Op::read_vectored(parts, 0))?.wait().into_result()?;
    /// assert_eq!((n, &parts[0][..], &parts[1][..9]), (13, &b"head"[..], &b" and body"[..]));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "preadv")]
    #[doc(alias = "IOCB_CMD_PREADV")]
    pub fn read_vectored(buffers: Vec<B>, offset: u64) -> Self
    where
        B: IoBufMut,
    {
        let iovec = |buffer: &mut B| Iovec {
            iov_base: buffer.io_mut_ptr().cast(),
            iov_len: buffer.io_capacity(),
        };
        Self::vectored(Opcode::PREADV, offset, buffers, iovec, set_init)
    }

    /// Writes several buffers' initialised bytes, the first one first, at a byte offset of the
    /// file. The kernel takes at most 1024 buffers, and refuses more with EINVAL.
    #[doc(alias = "pwritev")]
    #[doc(alias = "IOCB_CMD_PWRITEV")]
    pub fn write_vectored(buffers: Vec<B>, offset: u64) -> Self
    where
        B: IoBuf,
    {
        let iovec = |buffer: &mut B| Iovec {
            iov_base: buffer.io_ptr().cast_mut().cast(),
            iov_len: buffer.io_len(),
        };
        let op = Self::vectored(Opcode::PWRITEV, offset, buffers, iovec, |_, _| ());
        #[cfg(aio_asan)]
        let op = op.of_source::<B>();
        op
    }

    fn vectored(
        opcode: Opcode,
        offset: u64,
        buffers: Vec<B>,
        iovec: fn(&mut B) -> Iovec,
        settle: fn(&mut [B], usize),
    ) -> Self {
        let iovecs = Vec::with_capacity(buffers.len().min(MOST));
        Self::new(
            opcode,
            offset,
            VectoredTransfer {
                buffers,
                iovecs,
                iovec,
                settle,
            },
        )
    }
}

impl<B> VectoredTransfer<B> {
    /// The buffers.
    pub fn into_buffers(self) -> Vec<B> {
        self.buffers
    }
}

impl<B> fmt::Debug for VectoredTransfer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectoredTransfer")
            .field("buffers", &self.buffers.len())
            .finish_non_exhaustive()
    }
}

/// Tells the buffers that their first `n` bytes were written, counted over all buffers together.
#[expect(unsafe_code, reason = "set_init")]
fn set_init<B: IoBufMut>(buffers: &mut [B], mut n: usize) {
    for buffer in buffers.iter_mut().take(MOST) {
        let part = n.min(buffer.io_capacity());
        // SAFETY: the kernel fills the buffers one after the other, each up to its capacity, and
        // wrote `n` more bytes from this one's start on.
        unsafe { buffer.set_init(part) };
        n -= part;
    }
}

impl<B: Send + 'static> sealed::Payload for VectoredTransfer<B> {
    fn place(&mut self) -> (u64, u64) {
        // It may have been placed before: an operation that was handed back is submitted again.
        self.iovecs.clear();
        let told_of = self.buffers.iter_mut().take(MOST);
        self.iovecs.extend(told_of.map(self.iovec));
        // No iovec stands for no bytes: workers look at the number, to see whether to wait. Too
        // many are refused, with bytes or without.
        let bytes = self.iovecs.iter().any(|iovec| iovec.iov_len > 0);
        if !bytes && self.iovecs.len() < MOST {
            self.iovecs.clear();
        }
        let start = self.iovecs.as_ptr().expose_provenance();
        (start as u64, self.iovecs.len() as u64)
    }
}

impl<B: Send + 'static> Payload for VectoredTransfer<B> {
    type Output = BufResult<usize, Vec<B>>;

    #[expect(unsafe_code, reason = "declared so by the trait")]
    unsafe fn settle(&mut self, n: u64) {
        // This doesn't truncate: the kernel transfers less than 2 GiB at a time.
        (self.settle)(&mut self.buffers, n as usize);
    }

    fn output(self, result: Result<u64, OpError>) -> Self::Output {
        BufResult {
            result: result.map(|n| n as usize),
            buffer: self.buffers,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn initialised_bytes_are_dealt_out_in_order() {
        for (n, expected) in [
            (0, [0, 0, 0]),
            (5, [4, 1, 0]),
            (8, [4, 4, 0]),
            (12, [4, 4, 4]),
        ] {
            let mut buffers = [const { Vec::new() }; 3].map(|mut buffer: Vec<u8>| {
                buffer.reserve_exact(4);
                buffer
                    .spare_capacity_mut()
                    .iter_mut()
                    .for_each(|byte| _ = byte.write(7));
                buffer
            });
            assert!(buffers.iter().all(|buffer| buffer.capacity() == 4));
            set_init(&mut buffers, n);
            assert_eq!(buffers.map(|buffer| buffer.len()), expected);
        }
    }
}
