//! `io_cancel`.

use aio_abi::{AioContext, IoEvent, Iocb};

use super::{context, nothing, pointer};
use crate::{
    Errno,
    arch::{IO_CANCEL, syscall3},
};

/// Cancels a request in flight. **Reads, writes and syncs of files and block devices can't be
/// cancelled.** Only polls and requests to USB gadgets can.
///
/// The call cancels the request that was submitted from the address `iocb`. If several requests
/// were, it cancels the first of them. On success the result is the error
/// [`EINPROGRESS`](Errno::EINPROGRESS), and the request's event goes through the ring as usual. For
/// a poll, that event has a `res` of 0. The kernel never writes `result`.
///
/// So a kernel since 3.11 never returns `Ok`. The signature has it for kernels that might.
///
/// # What the kernel keeps using
///
/// The kernel keeps using what it used before the call, until the event is in the ring.
///
/// # Blocking
///
/// The call doesn't block.
///
/// # Errors
///
/// In the order of the kernel's checks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EFAULT` | the iocb's `aio_key` can't be read |
/// | `EINVAL` | `aio_key` isn't [`KIOCB_KEY`](aio_abi::KIOCB_KEY) |
/// | `EINVAL` | no such context |
/// | `EINVAL` | no request in flight has this iocb's address, or it can't be cancelled |
/// | `EINPROGRESS` | the request is being cancelled; **this means success** |
///
/// # Safety
///
/// `iocb` must be valid for reads, or an address where nothing is mapped (`EFAULT`). `result` must
/// be valid for writes, or an address where nothing is mapped. Kernels since 3.11 don't use it.
///
/// # Differences from the manual page
///
/// `io_cancel(2)` says that the kernel copies the event of a cancelled request to `result` and
/// doesn't put it into the ring. It says that the call returns 0, and that `EAGAIN` means that the
/// request wasn't cancelled. All of this is wrong. The page doesn't say which requests can be
/// cancelled.
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
/// // SAFETY: `ctx` is valid for writes.
/// unsafe { io_setup(1, &mut ctx) }?;
/// // SAFETY: the array of one pointer and the iocb are valid, and a poll has no buffer.
/// unsafe { io_submit(ctx, 1, &iocb) }?;
/// // SAFETY: `iocb` is valid for reads, and `event` for writes.
/// let cancelled = unsafe { io_cancel(ctx, iocb, &mut event) };
/// assert_eq!(cancelled, Err(Errno::EINPROGRESS));
/// // SAFETY: there is room for one event.
/// unsafe { io_getevents(ctx, 1, 1, &mut event, std::ptr::null()) }?;
/// assert_eq!((event.obj, event.res), (iocb.addr() as u64, 0));
/// // SAFETY: no request is in flight, and nothing uses the ring.
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
    // SAFETY: the kernel reads `iocb` and might write `result`. The caller promises that `iocb` is
    // valid for reads and `result` for writes, or that nothing is mapped there (`EFAULT`).
    nothing(unsafe { syscall3(IO_CANCEL, context(ctx), pointer(iocb), pointer(result)) })
}
