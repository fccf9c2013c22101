//! Operations: what to do, on which file, with which buffer.

use std::fmt;

use aio_abi::{IoPrio, Iocb, IocbFlags, Opcode, RwFlags};
use aio_sys::Errno;

use crate::{BufResult, IoBuf, IoBufMut, OpError};

/// An operation that is not yet submitted: what to do, with which buffer. The file comes in when it
/// is ([`Queue::submit`](crate::Queue::submit)).
///
/// ```
/// use aio_safe::{Op, Queue};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// # std::fs::write(&path, "0123456789")?;
///
/// let queue = Queue::new(8)?;
/// let file = std::fs::File::open(path)?;
/// let (n, buffer) = queue.submit(&file, Op::read(vec![0; 4], 3))?.wait().ok()?;
/// assert_eq!((n, &buffer[..]), (4, &b"3456"[..]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an operation does nothing until it is submitted"]
pub struct Op<P> {
    /// Everything but the file, `aio_data`, and where the payload is in memory.
    pub(crate) iocb: Iocb,
    pub(crate) payload: P,
}

/// What an operation owns while it is in flight, and what comes back. Sealed: the payloads are
/// [`Transfer`] and [`Sync`](struct@Sync).
pub trait Payload: sealed::Payload {
    /// What waiting for the operation returns.
    type Output;

    /// Makes it from what the kernel said.
    #[doc(hidden)]
    fn finish(self, result: Result<u64, OpError>) -> Self::Output;
}

pub(crate) mod sealed {
    use aio_abi::Iocb;

    pub trait Payload: Send + 'static {
        /// Writes into the iocb where the buffer is. The payload stays where it is until the
        /// operation has completed.
        fn place(&mut self, iocb: &mut Iocb);
    }
}

/// A read or a write of one buffer. Both are of one type, so that they fit in one batch and
/// one collection of handles.
pub struct Transfer<B> {
    buffer: B,
    place: fn(&mut B, &mut Iocb),
    finish: fn(&mut B, usize),
}

impl<B> fmt::Debug for Transfer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").finish_non_exhaustive()
    }
}

/// A sync of a file: no buffer.
#[derive(Debug)]
pub struct Sync(());

impl<B: Send + 'static> Op<Transfer<B>> {
    /// Reads into a buffer, at most as many bytes as it has room for, from a byte offset of the
    /// file. What was read lies at the buffer's start, and may be less than asked for: at the end
    /// of the file, and there is nothing at all behind it.
    ///
    /// A [`Vec`]'s capacity is filled, whatever its length; its length afterwards covers what was
    /// read.
    #[doc(alias = "pread")]
    #[doc(alias = "IOCB_CMD_PREAD")]
    pub fn read(buffer: B, offset: u64) -> Self
    where
        B: IoBufMut,
    {
        Self::new(
            Opcode::PREAD,
            offset,
            Transfer {
                buffer,
                place: |buffer, iocb| {
                    iocb.aio_buf = buffer.io_mut_ptr().expose_provenance() as u64;
                    iocb.aio_nbytes = buffer.io_capacity() as u64;
                },
                finish: set_init,
            },
        )
    }

    /// Writes a buffer's initialised bytes, at a byte offset of the file. Fewer than all may be
    /// written, on a full disk for example.
    #[doc(alias = "pwrite")]
    #[doc(alias = "IOCB_CMD_PWRITE")]
    pub fn write(buffer: B, offset: u64) -> Self
    where
        B: IoBuf,
    {
        Self::new(
            Opcode::PWRITE,
            offset,
            Transfer {
                buffer,
                place: |buffer, iocb| {
                    iocb.aio_buf = buffer.io_ptr().expose_provenance() as u64;
                    iocb.aio_nbytes = buffer.io_len() as u64;
                },
                finish: |_, _| (),
            },
        )
    }

    /// Sets flags for this transfer alone, `RwFlags::NOWAIT` for example. A kernel or a file that
    /// can't do what a flag says refuses the operation with EOPNOTSUPP.
    pub fn rw_flags(mut self, flags: RwFlags) -> Self {
        self.iocb.aio_rw_flags = flags;
        self
    }

    /// Sets the I/O priority of this transfer, where the I/O scheduler knows priorities (since Linux
    /// 4.18). The realtime class needs a capability, else the operation is refused with EPERM.
    pub fn ioprio(mut self, priority: IoPrio) -> Self {
        self.iocb.aio_reqprio = priority;
        self.iocb.aio_flags |= IocbFlags::IOPRIO;
        self
    }
}

impl Op<Sync> {
    /// Makes everything that was written to the file durable, its metadata included (`fsync(2)`). It
    /// covers writes that *completed* before it was submitted, not those in flight.
    ///
    /// Since Linux 4.18; older kernels refuse it with EINVAL, and so do files that can't be synced.
    #[doc(alias = "IOCB_CMD_FSYNC")]
    pub fn fsync() -> Self {
        Self::new(Opcode::FSYNC, 0, Sync(()))
    }

    /// Makes everything that was written to the file durable, and of its metadata only what reading it
    /// back needs (`fdatasync(2)`). Otherwise as [`fsync`](Self::fsync).
    #[doc(alias = "IOCB_CMD_FDSYNC")]
    pub fn fdatasync() -> Self {
        Self::new(Opcode::FDSYNC, 0, Sync(()))
    }
}

impl<P> Op<P> {
    fn new(opcode: Opcode, offset: u64, payload: P) -> Self {
        let iocb = Iocb {
            aio_lio_opcode: opcode,
            // Beyond i64::MAX it becomes negative, and the kernel answers EINVAL as it should.
            aio_offset: offset as i64,
            ..Iocb::default()
        };
        Self { iocb, payload }
    }

    /// Gives back what the operation would own in flight: the buffer, for a [`Transfer`].
    pub fn into_payload(self) -> P {
        self.payload
    }
}

impl<P> fmt::Debug for Op<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("opcode", &self.iocb.aio_lio_opcode)
            .field("offset", &self.iocb.aio_offset)
            .finish_non_exhaustive()
    }
}

impl<B> Transfer<B> {
    /// The buffer.
    pub fn into_buffer(self) -> B {
        self.buffer
    }
}

#[expect(unsafe_code, reason = "set_init")]
fn set_init<B: IoBufMut>(buffer: &mut B, n: usize) {
    // SAFETY: the kernel wrote the first `n` bytes, and was told of no more than the capacity.
    unsafe { buffer.set_init(n) }
}

impl<B: Send + 'static> sealed::Payload for Transfer<B> {
    fn place(&mut self, iocb: &mut Iocb) {
        (self.place)(&mut self.buffer, iocb);
    }
}

impl<B: Send + 'static> Payload for Transfer<B> {
    type Output = BufResult<usize, B>;

    fn finish(mut self, result: Result<u64, OpError>) -> Self::Output {
        // A transfer of more than usize can't happen: nbytes was a usize.
        let result = result.map(|n| n as usize);
        if let Ok(n) = result {
            (self.finish)(&mut self.buffer, n);
        }
        BufResult {
            result,
            buffer: self.buffer,
        }
    }
}

impl sealed::Payload for Sync {
    fn place(&mut self, _iocb: &mut Iocb) {}
}

impl Payload for Sync {
    type Output = Result<(), OpError>;

    fn finish(self, result: Result<u64, OpError>) -> Self::Output {
        result.map(|_| ())
    }
}

/// What the kernel's result number means: a count, or a negated errno.
pub(crate) fn decode(res: i64) -> Result<u64, Errno> {
    match u64::try_from(res) {
        Ok(n) => Ok(n),
        // An event can't carry anything but 1..=4095 here; if one did, EIO says "something broke".
        Err(_) => Err(i32::try_from(-res)
            .ok()
            .and_then(Errno::from_raw)
            .unwrap_or(Errno::EIO)),
    }
}
