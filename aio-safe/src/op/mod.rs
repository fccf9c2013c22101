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

use crate::OpError;

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

/// The fields of an iocb that an operation decides. The others are the file, `aio_data` and where
/// the payload is in memory.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    opcode: Opcode,
    reqprio: IoPrio,
    rw_flags: RwFlags,
    flags: IocbFlags,
    offset: i64,
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

    /// What [`iocb`](Self::iocb) was made from.
    pub(crate) fn of(iocb: &Iocb) -> Self {
        Self {
            opcode: iocb.aio_lio_opcode,
            reqprio: iocb.aio_reqprio,
            rw_flags: iocb.aio_rw_flags,
            flags: iocb.aio_flags,
            offset: iocb.aio_offset,
        }
    }
}

/// What an operation owns while it is in flight, and what comes back. Sealed: the payloads are
/// [`Transfer`], [`VectoredTransfer`], [`FileSync`] and [`FilePoll`].
pub trait Payload: sealed::Payload {
    /// What waiting for the operation returns.
    type Output;

    /// Notes that the operation succeeded, with this number.
    ///
    /// # Safety
    ///
    /// `n` is the result that the kernel gave the operation that owned this payload: for a read,
    /// the first `n` bytes of its buffers were written.
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

    /// Makes the output from the kernel's result. If that is a number, [`settle`](Self::settle) was
    /// called with it before.
    #[doc(hidden)]
    fn output(self, result: Result<u64, OpError>) -> Self::Output;
}

/// Stands for a payload that slots hold on behalf of the type that this is in, which makes that
/// type invariant in it: a slot drops its payload as the very type that it was filled with.
pub(crate) type Held<P> = PhantomData<fn(P) -> P>;

pub(crate) mod sealed {
    pub trait Payload: Send + 'static {
        /// Whether the kernel can cancel it.
        const CANCELLABLE: bool = false;

        /// Where the buffer is, and how much there is of it: `aio_buf` and `aio_nbytes`. The
        /// payload stays where it is until the operation has completed.
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
        };
        Self { payload, request }
    }

    /// Notes for the sanitizer whether sources of this type may be looked at in flight.
    #[cfg(aio_asan)]
    fn of_source<B: 'static>(mut self) -> Self {
        self.request.flags |= crate::buf::poison::flags_of_source::<B>();
        self
    }

    /// Gives back what the operation would own in flight: the buffer, for a [`Transfer`].
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
