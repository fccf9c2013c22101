//! `io_setup`.

use aio_abi::AioContext;

use super::{int, nothing, pointer};
use crate::Errno;
use crate::arch::{IO_SETUP, syscall2};

/// Makes a context that can hold at least `nr_events` requests in flight, and stores its handle in
/// `*ctxp`.
///
/// `*ctxp` has to be [`AioContext::NONE`] before the call, and is left alone if it fails.
///
/// The context belongs to the process: all its threads can use it, a child made by `fork` can't,
/// and `exec` and the end of the process destroy it. Its ring of events takes 32 bytes for each
/// slot of locked memory, in whole pages.
///
/// # How many requests it really holds
///
/// More than were asked for: the kernel takes at least four for each possible CPU, doubles that and
/// fills the last page of the ring. It hands out the slots in lots to the CPUs, so a thread can
/// see `EAGAIN` from [`io_submit`](crate::io_submit) while slots are left with other CPUs; what was
/// asked for is there in any case. A slot is taken from the submission until the event has been
/// *read*.
///
/// What counts against `/proc/sys/fs/aio-max-nr` (65536 by default, for all processes and
/// containers together) is `nr_events` itself. `/proc/sys/fs/aio-nr` is the sum so far. It is given
/// back when [`io_destroy`](crate::io_destroy) begins.
///
/// # Blocking
///
/// Waits for memory and for the process's memory map. It doesn't wait for I/O.
///
/// # Errors
///
/// In the order in which the kernel looks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO (`CONFIG_AIO`) |
/// | `EFAULT` | `ctxp` can't be read (even if `nr_events` is bad as well) |
/// | `EINVAL` | `*ctxp` isn't [`NONE`](AioContext::NONE), or `nr_events` is 0 |
/// | `EINVAL` | `nr_events` is so large that the ring's size overflows (more than 4 194 304 with 4 KiB pages) |
/// | `EAGAIN` | `nr_events` alone is more than `aio-max-nr` |
/// | `ENOMEM` | no memory for the context or its ring |
/// | `EINTR` | killed while waiting for the memory map |
/// | `EAGAIN` | all contexts of the system together would be more than `aio-max-nr` |
/// | `EFAULT` | `ctxp` can't be written |
///
/// A seccomp filter answers what it likes, mostly `EPERM`.
///
/// # Safety
///
/// `ctxp` may be any pointer that isn't the address of memory that Rust code relies on not to be
/// written: it has to be valid for writes of an [`AioContext`], or an address where nothing is
/// mapped for writing (null, say), which is answered with `EFAULT`.
///
/// # What differs from the manual page
///
/// `io_setup(2)` says that `EAGAIN` means more than "the limit of available events", but not that
/// it is one limit for the whole system, nor which of two figures was too large. It doesn't know
/// `EINTR`, nor the real size of the context.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::AioContext;
/// use aio_sys::{Errno, io_destroy, io_setup};
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(32, &mut ctx) }?;
///
/// // SAFETY: as before.
/// let again = unsafe { io_setup(32, &mut ctx) };
/// assert_eq!(again, Err(Errno::EINVAL), "the variable holds a handle already");
///
/// // SAFETY: nothing was submitted.
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
    // SAFETY: the kernel writes a handle to `ctxp`, which the caller allows, and maps new memory,
    // which nothing else can have a reference to.
    nothing(unsafe { syscall2(IO_SETUP, int(nr_events), pointer(ctxp)) })
}
