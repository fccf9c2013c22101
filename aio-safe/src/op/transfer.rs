//! Reads and writes of one buffer.

use std::{any::Any, fmt};

use aio_abi::{IoPrio, IocbFlags, Opcode, RwFlags};

use super::{Op, Payload, sealed};
use crate::{
    BufResult, OpError,
    buf::{AlignedBuf, IoBuf, IoBufMut, PoolBuf},
};

/// A read or a write of one buffer. Both have one type, so one batch and one collection of handles
/// can hold both.
pub struct Transfer<B: 'static> {
    buffer: B,
    direction: &'static Direction<B>,
}

// SAFETY: nothing reaches the buffer through a `&Transfer`. `into_buffer` takes the transfer by
// value, and the crate's own methods take it by value or by `&mut`. So an error that hands an
// operation back is Sync, whatever buffer it has.
#[expect(unsafe_code, reason = "promises more than the buffer's own type")]
unsafe impl<B: Send> Sync for Transfer<B> {}

/// The difference between a read and a write.
struct Direction<B: 'static> {
    place: fn(&mut B) -> (u64, u64),
    /// Tells the buffer how many bytes were read, if it has to know.
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

/// Reads and writes, vectored or not. They can have [`RwFlags`] and a priority.
pub trait ReadWrite: Payload {}

impl<B: Send + 'static> ReadWrite for Transfer<B> {}

impl<B: Send + 'static> Op<Transfer<B>> {
    /// Reads into a buffer, from a byte offset of the file, at most the buffer's capacity. The data
    /// is stored from the buffer's start. It may be less than asked for, for example at the end of
    /// the file. Beyond the end it is 0 bytes.
    ///
    /// A [`Vec`] is filled up to its capacity, whatever its length is. Afterwards its length is at
    /// least the number of bytes that were read.
    #[doc(alias = "pread")]
    #[doc(alias = "IOCB_CMD_PREAD")]
    #[inline]
    pub fn read(buffer: B, offset: u64) -> Self
    where
        B: IoBufMut,
    {
        // Two constants and a branch, because a constant can't call a function of a trait.
        let direction = if B::is_always_init() {
            const { &Direction::of_read(None) }
        } else {
            const { &Direction::of_read(Some(set_init)) }
        };
        Self::new(Opcode::PREAD, offset, Transfer::new(buffer, direction))
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
        let op = Self::new(Opcode::PWRITE, offset, Transfer::new(buffer, direction));
        #[cfg(aio_asan)]
        let op = op.of_source::<B>();
        op
    }
}

impl<P: ReadWrite> Op<P> {
    /// Sets flags for this transfer alone, [`RwFlags::NOWAIT`] for example. If the kernel or the
    /// file doesn't support a flag, the operation is refused with EOPNOTSUPP.
    pub fn rw_flags(mut self, flags: RwFlags) -> Self {
        self.request.rw_flags = flags;
        self
    }

    /// Sets the I/O priority of this transfer, which matters if the I/O scheduler uses priorities
    /// (since Linux 4.18). The realtime class needs a capability. Without it the operation is
    /// refused with EPERM.
    pub fn ioprio(mut self, priority: IoPrio) -> Self {
        self.request.reqprio = priority;
        self.request.flags |= IocbFlags::IOPRIO;
        self
    }
}

impl<B: 'static> Transfer<B> {
    #[inline]
    fn new(buffer: B, direction: &'static Direction<B>) -> Self {
        Self { buffer, direction }
    }

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

#[inline]
#[expect(unsafe_code, reason = "set_init")]
fn set_init<B: IoBufMut>(buffer: &mut B, n: usize) {
    // SAFETY: `Kernel` promises that a result isn't larger than what was asked for. For a read that
    // is the capacity, and the kernel wrote the first `n` bytes. For a write it is the length.
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
        // This doesn't truncate: `n` is at most the length that was asked for, which is a usize.
        let n = n as usize;
        // The buffers of direct I/O are told in line, which takes less time than a call. The
        // compiler knows the type, so nothing is left of the other branches. A buffer that was
        // written isn't changed: `n` is at most its length.
        let buffer: &mut dyn Any = &mut self.buffer;
        if let Some(buffer) = buffer.downcast_mut::<AlignedBuf>() {
            set_init(buffer, n);
        } else if let Some(buffer) = buffer.downcast_mut::<PoolBuf>() {
            set_init(buffer, n);
        } else if let Some(settle) = self.direction.settle {
            settle(&mut self.buffer, n);
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
