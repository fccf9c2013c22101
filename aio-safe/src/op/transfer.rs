//! Reads and writes of one buffer.

use std::fmt;

use aio_abi::{IoPrio, IocbFlags, Opcode, RwFlags};

use super::{Op, Payload, sealed};
use crate::{
    BufResult, OpError,
    buf::{IoBuf, IoBufMut},
};

/// A read or a write of one buffer. Both are of one type, so that they fit in one batch and
/// one collection of handles.
pub struct Transfer<B: 'static> {
    buffer: B,
    direction: &'static Direction<B>,
}

// SAFETY: a `&Transfer` gives nobody its buffer: `into_buffer` takes the transfer, and so do the
// crate's own methods, or `&mut`. So errors that hand an operation back are Sync, whatever it owns.
#[expect(unsafe_code, reason = "says more than the buffer does")]
unsafe impl<B: Send> Sync for Transfer<B> {}

/// What is different between a read and a write.
struct Direction<B: 'static> {
    place: fn(&mut B) -> (u64, u64),
    /// What is to be done when that many bytes were transferred, if anything.
    settle: Option<fn(&mut B, usize)>,
}

impl<B: IoBufMut> Direction<B> {
    const fn of_read(settle: Option<fn(&mut B, usize)>) -> Self {
        Self {
            place: |buffer| {
                let start = buffer.io_mut_ptr().expose_provenance();
                (start as u64, buffer.io_capacity() as u64)
            },
            settle,
        }
    }
}

/// Reads and writes, vectored or not: what can have [`RwFlags`] and a priority.
pub trait ReadWrite: Payload {}

impl<B: Send + 'static> ReadWrite for Transfer<B> {}

impl<B: Send + 'static> Op<Transfer<B>> {
    /// Reads into a buffer, at most as many bytes as it has room for, from a byte offset of the
    /// file. What was read lies at the buffer's start, and may be less than asked for: at the end
    /// of the file, and there is nothing at all behind it.
    ///
    /// A [`Vec`]'s capacity is filled, whatever its length; its length afterwards covers what was
    /// read.
    #[doc(alias = "pread")]
    #[doc(alias = "IOCB_CMD_PREAD")]
    #[inline]
    pub fn read(buffer: B, offset: u64) -> Self
    where
        B: IoBufMut,
    {
        // Two constants and a branch: a constant can't call a function of a trait.
        let direction = if B::is_always_init() {
            const { &Direction::of_read(None) }
        } else {
            const { &Direction::of_read(Some(set_init)) }
        };
        Self::new(Opcode::PREAD, offset, Transfer { buffer, direction })
    }

    /// Writes a buffer's initialised bytes, at a byte offset of the file. Fewer than all may be
    /// written, on a full disk for example.
    #[doc(alias = "pwrite")]
    #[doc(alias = "IOCB_CMD_PWRITE")]
    #[inline]
    pub fn write(buffer: B, offset: u64) -> Self
    where
        B: IoBuf,
    {
        let direction = const {
            &Direction {
                place: |buffer: &mut B| {
                    let start = buffer.io_ptr().expose_provenance();
                    (start as u64, buffer.io_len() as u64)
                },
                settle: None,
            }
        };
        let op = Self::new(Opcode::PWRITE, offset, Transfer { buffer, direction });
        #[cfg(aio_asan)]
        let op = op.of_source::<B>();
        op
    }
}

impl<P: ReadWrite> Op<P> {
    /// Sets flags for this transfer alone, [`RwFlags::NOWAIT`] for example. A kernel or a file that
    /// can't do what a flag says refuses the operation with EOPNOTSUPP.
    pub fn rw_flags(mut self, flags: RwFlags) -> Self {
        self.request.rw_flags = flags;
        self
    }

    /// Sets the I/O priority of this transfer, where the I/O scheduler knows priorities (since
    /// Linux 4.18). The realtime class needs a capability, else the operation is refused with
    /// EPERM.
    pub fn ioprio(mut self, priority: IoPrio) -> Self {
        self.request.reqprio = priority;
        self.request.flags |= IocbFlags::IOPRIO;
        self
    }
}

impl<B: 'static> Transfer<B> {
    /// The buffer.
    pub fn into_buffer(self) -> B {
        self.buffer
    }
}

impl<B: 'static> fmt::Debug for Transfer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").finish_non_exhaustive()
    }
}

#[expect(unsafe_code, reason = "set_init")]
fn set_init<B: IoBufMut>(buffer: &mut B, n: usize) {
    // SAFETY: the kernel wrote the first `n` bytes, and was told of no more than the capacity
    // (`Kernel` promises that a result isn't larger than what was asked for).
    unsafe { buffer.set_init(n) }
}

impl<B: Send + 'static> sealed::Payload for Transfer<B> {
    #[inline]
    fn place(&mut self) -> (u64, u64) {
        (self.direction.place)(&mut self.buffer)
    }
}

impl<B: Send + 'static> Payload for Transfer<B> {
    type Output = BufResult<usize, B>;

    #[inline]
    #[expect(unsafe_code, reason = "declared so by the trait")]
    unsafe fn settle(&mut self, n: u64) {
        if let Some(settle) = self.direction.settle {
            // No truncation: what was asked for was a usize.
            settle(&mut self.buffer, n as usize);
        }
    }

    #[inline]
    fn output(self, result: Result<u64, OpError>) -> Self::Output {
        BufResult {
            result: result.map(|n| n as usize),
            buffer: self.buffer,
        }
    }
}
