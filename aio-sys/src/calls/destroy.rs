//! `io_destroy`.

use aio_abi::AioContext;

use super::{context, nothing};
use crate::{
    Errno,
    arch::{IO_DESTROY, syscall1},
};

/// Destroys a context: waits until no request is in flight, and unmaps the ring.
///
/// As soon as the call begins, the handle is invalid for all other calls. Threads that wait in
/// [`io_getevents`](crate::io_getevents) return with `EINVAL`. The kernel cancels polls. Reads,
/// writes and syncs run to their end. The events of all these requests are lost, and so are the
/// events in the ring that nobody has read.
///
/// # What the kernel keeps using
///
/// Nothing. When the call has returned, the program may use the buffers of all requests of the
/// context again.
///
/// # Blocking
///
/// The call blocks until all requests in flight have completed, however long a device takes to
/// answer. It also waits for an RCU grace period, 10 ms or more on an idle machine. No signal
/// interrupts it. The end of the process destroys many contexts faster, because it destroys all of
/// them together.
///
/// # Errors
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EINVAL` | no such context, or another thread is destroying it. **In the second case this call doesn't wait**: the kernel may still use the buffers |
///
/// # Safety
///
/// * Nothing may access the ring's memory during the call or after it.
/// * The context must belong to the caller. A handle is an address, and **the kernel may give the
///   same address to a new context at once**. So destroying a context twice can destroy another
///   context. Its owner's `io_destroy` then returns `EINVAL` without waiting for the requests.
///
/// # Differences from the manual page
///
/// `io_destroy(2)` gives `EFAULT` as the error for an invalid context. The real error is `EINVAL`.
/// The page says that the call waits for requests that can't be cancelled. It doesn't say that
/// these are all requests except polls, nor that the events are lost.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::AioContext;
/// use aio_sys::{Errno, io_destroy, io_setup};
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: `ctx` is valid for writes.
/// unsafe { io_setup(1, &mut ctx) }?;
/// // SAFETY: no request is in flight, and nothing uses the ring.
/// unsafe { io_destroy(ctx) }?;
/// ctx = AioContext::NONE; // the kernel may give the old number to another context
/// # let _ = ctx;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. Source: `SYSCALL_DEFINE1(io_destroy)` and `kill_ioctx` in the kernel's `fs/aio.c`;
/// `io_destroy(2)`.
#[inline(always)]
pub unsafe fn io_destroy(ctx: AioContext) -> Result<(), Errno> {
    // SAFETY: the kernel unmaps the ring. The caller promises that the context is its own and that
    // nothing accesses the ring's memory.
    nothing(unsafe { syscall1(IO_DESTROY, context(ctx)) })
}
