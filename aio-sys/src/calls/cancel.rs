//! `io_cancel`.

use aio_abi::{AioContext, IoEvent, Iocb};

use super::{context, nothing, pointer};
use crate::Errno;
use crate::arch::{IO_CANCEL, syscall3};

/// Asks for the end of a request in flight. **Reads, writes and syncs of files and block devices
/// can't be cancelled**: only polls can (and requests to USB gadgets).
///
/// The request is the one that was submitted from the address `iocb`; if there are several, the
/// first one. Where it works, the answer is the error [`EINPROGRESS`](Errno::EINPROGRESS), and the
/// request's event comes through the ring like any other, for a poll with a `res` of 0. `result` is
/// never written.
///
/// So `Ok` is never the result on a kernel since 3.11. It stays in the signature for what the
/// kernel might answer one day.
///
/// # What the kernel holds on to
///
/// What it held before, until the event is in the ring.
///
/// # Blocking
///
/// Doesn't wait.
///
/// # Errors
///
/// In the order in which the kernel looks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EFAULT` | the iocb's `aio_key` can't be read |
/// | `EINVAL` | `aio_key` isn't [`KIOCB_KEY`](aio_abi::KIOCB_KEY) |
/// | `EINVAL` | no such context |
/// | `EINVAL` | no request in flight has this iocb's address, or it can't be cancelled |
/// | `EINPROGRESS` | the request is being cancelled; **this is the success** |
///
/// # Safety
///
/// `iocb` must be valid for reads (or an address where nothing is mapped: `EFAULT`). `result` isn't
/// used by kernels since 3.11; hand in a valid pointer all the same.
///
/// # What differs from the manual page
///
/// `io_cancel(2)` says that a cancelled request's event is copied to `result` and doesn't go
/// through the ring, that 0 is returned, and that `EAGAIN` means that it wasn't cancelled. None of
/// this is so. It doesn't say what can be cancelled.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::{AioContext, Iocb, IoEvent};
/// use aio_sys::{Errno, io_cancel, io_destroy, io_getevents, io_setup, io_submit};
/// use std::os::fd::AsRawFd;
/// use std::os::unix::net::UnixStream;
///
/// const POLLIN: u16 = 1;
/// let (reader, _writer) = UnixStream::pair().unwrap();
/// let mut iocb = Iocb::poll(reader.as_raw_fd(), POLLIN);
/// let iocb = &raw mut iocb;
/// let mut event = IoEvent::default();
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(1, &mut ctx) }?;
/// // SAFETY: the iocb is valid, and a poll has no buffer.
/// unsafe { io_submit(ctx, 1, &iocb) }?;
/// // SAFETY: both pointers are valid.
/// let cancelled = unsafe { io_cancel(ctx, iocb, &mut event) };
/// assert_eq!(cancelled, Err(Errno::EINPROGRESS));
/// // SAFETY: there is room for one event.
/// unsafe { io_getevents(ctx, 1, 1, &mut event, std::ptr::null()) }?;
/// assert_eq!((event.obj, event.res), (iocb.addr() as u64, 0));
/// // SAFETY: nothing is in flight.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. Source: `SYSCALL_DEFINE3(io_cancel)` in the kernel's `fs/aio.c`.
#[inline(always)]
pub unsafe fn io_cancel(
    ctx: AioContext,
    iocb: *mut Iocb,
    result: *mut IoEvent,
) -> Result<(), Errno> {
    // SAFETY: the kernel reads `iocb` and might write `result`, which the caller allows.
    nothing(unsafe { syscall3(IO_CANCEL, context(ctx), pointer(iocb), pointer(result)) })
}
