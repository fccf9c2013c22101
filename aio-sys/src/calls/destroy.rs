//! `io_destroy`.

use aio_abi::AioContext;

use super::{context, nothing};
use crate::Errno;
use crate::arch::{IO_DESTROY, syscall1};

/// Ends a context: waits until no request is in flight any more, and unmaps its ring.
///
/// From its beginning on, the handle is dead for every other call and thread, and those that wait
/// in [`io_getevents`](crate::io_getevents) are sent home with `EINVAL`. Polls are cancelled;
/// reads, writes and syncs run to their end. The events of all these are lost, like those that were
/// in the ring unread.
///
/// # What the kernel holds on to
///
/// Nothing, when the call has returned: the buffers of all requests of the context are the caller's
/// again.
///
/// # Blocking
///
/// Waits, and no signal interrupts it: for the requests in flight (a device that doesn't answer
/// holds it for as long as that), and for an RCU grace period (some 10 ms or more on an idle
/// machine). To end many contexts at once, let the process end.
///
/// # Errors
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EINVAL` | no such context, or another thread is destroying it. **That one's wait isn't yours**: the context's buffers may still be in use |
///
/// # Safety
///
/// * Nobody may use the ring's memory by its address any more: not during the call, not afterwards.
/// * The context must be one that the caller may end. A handle is an address, and **the kernel may
///   hand the same one out again at once**: to destroy a context twice can end somebody else's,
///   whose buffers nobody waits for then.
///
/// # What differs from the manual page
///
/// `io_destroy(2)` has `EFAULT` for an invalid context, which is `EINVAL`. It says that what can't
/// be cancelled is waited for, but not that this is everything but polls, nor what becomes of the
/// events.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::AioContext;
/// use aio_sys::{Errno, io_destroy, io_setup};
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(1, &mut ctx) }?;
/// // SAFETY: nothing is in flight, and nobody knows the ring.
/// unsafe { io_destroy(ctx) }?;
/// ctx = AioContext::NONE; // it isn't ours any more
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
    // SAFETY: the kernel unmaps the ring, which nobody uses any more, as the caller says.
    nothing(unsafe { syscall1(IO_DESTROY, context(ctx)) })
}
