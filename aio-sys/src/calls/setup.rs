//! `io_setup`.

use aio_abi::AioContext;

use super::{int, nothing, pointer};
use crate::{
    Errno,
    arch::{IO_SETUP, syscall2},
};

/// Creates a context for at least `nr_events` requests in flight, and stores its handle in `*ctxp`.
///
/// `*ctxp` must be [`AioContext::NONE`] before the call. The kernel doesn't change it if the call
/// fails.
///
/// The context belongs to the process. All its threads can use it. A child process can't use it
/// after `fork`. `exec` and the end of the process destroy it. The ring is locked memory: 32 bytes
/// for each slot, in whole pages.
///
/// # The real number of slots
///
/// The context has more slots than `nr_events`. The kernel takes at least four for each possible
/// CPU, doubles that number and then fills the last page of the ring. It gives the slots to the
/// CPUs in batches. So [`io_submit`](crate::io_submit) can return `EAGAIN` although other CPUs
/// still have free slots. In any case `nr_events` requests can be in flight. A request occupies its
/// slot from the submission until the program has *read* the event.
///
/// `/proc/sys/fs/aio-max-nr` limits the sum of `nr_events` over all contexts of the system,
/// including all containers. The default is 65536. `/proc/sys/fs/aio-nr` is the current sum. The
/// beginning of [`io_destroy`](crate::io_destroy) lowers it again.
///
/// # Blocking
///
/// The call can wait for memory and for the lock of the process's memory map. It doesn't wait for
/// I/O.
///
/// # Errors
///
/// In the order of the kernel's checks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO (`CONFIG_AIO`) |
/// | `EFAULT` | `ctxp` can't be read (even if `nr_events` is bad as well) |
/// | `EINVAL` | `*ctxp` isn't [`NONE`](AioContext::NONE), or `nr_events` is 0 |
/// | `EINVAL` | `nr_events` is so large that the ring's size overflows (more than 4 194 304 with 4 KiB pages) |
/// | `EAGAIN` | `nr_events` alone is more than `aio-max-nr` |
/// | `ENOMEM` | there is no memory for the context or its ring |
/// | `EINTR` | the process was killed while the call waited for the lock of the memory map |
/// | `EAGAIN` | the sum over all contexts of the system would be more than `aio-max-nr` |
/// | `EFAULT` | `ctxp` can't be written |
///
/// A seccomp filter can make the call fail with another error, usually `EPERM`.
///
/// # Safety
///
/// `ctxp` must be valid for reads and writes of an [`AioContext`]. It may instead be an address
/// where nothing is mapped for writing, for example null (`EFAULT`).
///
/// # Differences from the manual page
///
/// `io_setup(2)` says that `EAGAIN` means that `nr_events` exceeds "the limit of available events".
/// It doesn't say that this is one limit for the whole system, nor that there are two such checks.
/// It doesn't mention `EINTR`, nor the real number of slots.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::AioContext;
/// use aio_sys::{Errno, io_destroy, io_setup};
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: `ctx` is valid for reads and writes.
/// unsafe { io_setup(32, &mut ctx) }?;
///
/// // SAFETY: `ctx` is valid for reads and writes.
/// let again = unsafe { io_setup(32, &mut ctx) };
/// assert_eq!(again, Err(Errno::EINVAL), "`ctx` already holds a handle");
///
/// // SAFETY: no request is in flight, and nothing uses the ring.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. Source: `SYSCALL_DEFINE2(io_setup)` and `ioctx_alloc` in the kernel's `fs/aio.c`;
/// `io_setup(2)`.
#[inline(always)]
pub unsafe fn io_setup(nr_events: u32, ctxp: *mut AioContext) -> Result<(), Errno> {
    // SAFETY: the kernel reads `ctxp` and writes a handle to it. The caller promises that `ctxp` is
    // valid for both, or unmapped (`EFAULT`). The kernel also maps the ring, in memory that was
    // free, so no reference to it exists.
    nothing(unsafe { syscall2(IO_SETUP, int(nr_events), pointer(ctxp)) })
}
