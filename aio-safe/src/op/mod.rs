//! Operations: what to do, with which buffer.

mod cancel;
mod poll;
mod sync;
mod transfer;
mod vectored;

use std::{
    fmt,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd},
};

use aio_abi::{Iocb, IocbFlags, Opcode, RwFlags};

use crate::{OpError, kept::KeptId};

pub use aio_abi::{IoPrio, IoPrioClass};
pub use cancel::CancelOutcome;
pub use poll::{FilePoll, PollEvents};
pub use sync::FileSync;
pub use transfer::{ReadWrite, Transfer};
pub use vectored::VectoredTransfer;

/// An operation that isn't submitted yet: what to do, and with which buffer. The file is named when
/// the operation is submitted, by [`Queue::submit`](crate::Queue::submit).
///
/// ```
/// use aio_safe::{Op, Queue};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// # std::fs::write(&path, "0123456789")?;
///
/// let queue = Queue::new(8)?;
/// let file = std::fs::File::open(path)?;
/// let (n, buffer) = queue.submit(&file, Op::read(vec![0; 4], 3))?.wait().into_result()?;
/// assert_eq!((n, &buffer[..]), (4, &b"3456"[..]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an operation does nothing until it is submitted"]
pub struct Op<P> {
    pub(crate) payload: P,
    pub(crate) request: Request,
}

/// The fields of an iocb that depend on the operation alone. The other fields say which file, which
/// `aio_data`, and which memory.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    opcode: Opcode,
    reqprio: IoPrio,
    rw_flags: RwFlags,
    flags: IocbFlags,
    offset: i64,
    /// The file that made the operation, if a slot may have to keep it open.
    pub(crate) file: Option<KeptId>,
}

impl Request {
    #[inline]
    pub(crate) fn iocb(self, data: u64, file: BorrowedFd<'_>, (buf, nbytes): (u64, u64)) -> Iocb {
        Iocb {
            aio_data: data,
            aio_fildes: file.as_raw_fd() as u32,
            aio_lio_opcode: self.opcode,
            aio_reqprio: self.reqprio,
            aio_rw_flags: self.rw_flags,
            aio_flags: self.flags,
            aio_offset: self.offset,
            aio_buf: buf,
            aio_nbytes: nbytes,
            ..Iocb::default()
        }
    }

    /// Without the queue's `RWF_NOWAIT`, and made by this file.
    pub(crate) fn without_nowait(self, file: KeptId) -> Self {
        Self {
            rw_flags: self.rw_flags.difference(RwFlags::NOWAIT),
            file: Some(file),
            ..self
        }
    }

    /// The request from which [`iocb`](Self::iocb) made this iocb.
    pub(crate) fn of(iocb: &Iocb) -> Self {
        Self {
            opcode: iocb.aio_lio_opcode,
            reqprio: iocb.aio_reqprio,
            rw_flags: iocb.aio_rw_flags,
            // The eventfd was the queue's, not the operation's.
            flags: iocb.aio_flags.difference(IocbFlags::RESFD),
            offset: iocb.aio_offset,
            file: None,
        }
    }
}

/// The values that an operation owns while it is in flight, and its output. Sealed: the payloads
/// are [`Transfer`], [`VectoredTransfer`], [`FileSync`] and [`FilePoll`].
pub trait Payload: sealed::Payload {
    /// The type that waiting for the operation returns.
    type Output: Send;

    /// Tells the payload that the operation succeeded with the result `n`.
    ///
    /// # Safety
    ///
    /// `n` is the result that the kernel gave the operation that owned this payload. For a read,
    /// the kernel has written the first `n` bytes of its buffers.
    ///
    /// Safe code can't claim that:
    ///
    /// ```compile_fail,E0133
    /// use aio_safe::{Op, op::Payload};
    ///
    /// let read = Op::read(Vec::with_capacity(8), 0);
    /// read.into_payload().settle(1_000_000);
    /// ```
    #[doc(hidden)]
    #[inline]
    #[expect(unsafe_code, reason = "believes what it is told of a buffer's bytes")]
    unsafe fn settle(&mut self, n: u64) {
        let _ = n;
    }

    /// Makes the output from the kernel's result. If the operation succeeded,
    /// [`settle`](Self::settle) was called before.
    #[doc(hidden)]
    fn output(self, result: Result<u64, OpError>) -> Self::Output;
}

/// A marker in handles, which makes them invariant in `P`. It has to be so because a slot drops its
/// payload as the very type that it was filled with.
pub(crate) type Held<P> = PhantomData<fn(P) -> P>;

pub(crate) mod sealed {
    pub trait Payload: Send + 'static {
        /// Whether the kernel can cancel it.
        const CANCELLABLE: bool = false;

        /// The address and the size of the buffer: `aio_buf` and `aio_nbytes`. The payload isn't
        /// moved until the operation has completed.
        fn place(&mut self) -> (u64, u64);
    }
}

impl<P> Op<P> {
    #[inline]
    fn new(opcode: Opcode, offset: u64, payload: P) -> Self {
        let request = Request {
            opcode,
            reqprio: IoPrio::default(),
            rw_flags: RwFlags::default(),
            flags: IocbFlags::default(),
            // Beyond i64::MAX it becomes negative, and the kernel answers EINVAL as it should.
            offset: offset as i64,
            file: None,
        };
        Self { payload, request }
    }

    /// Says which file made the operation.
    #[inline]
    pub(crate) fn made_by(mut self, file: Option<KeptId>) -> Self {
        self.request.file = file;
        self
    }

    /// Notes for the sanitizer whether the program may read sources of this type in flight.
    #[cfg(aio_asan)]
    fn of_source<B: 'static>(mut self) -> Self {
        self.request.flags |= crate::buf::poison::flags_of_source::<B>();
        self
    }

    /// Takes out the payload: for a [`Transfer`], the value that has the buffer.
    pub fn into_payload(self) -> P {
        self.payload
    }
}

impl<P> fmt::Debug for Op<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("opcode", &self.request.opcode)
            .field("offset", &self.request.offset)
            .finish_non_exhaustive()
    }
}
