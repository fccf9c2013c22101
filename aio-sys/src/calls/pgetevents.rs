//! `io_pgetevents`.

use aio_abi::{AioContext, AioSigset, IoEvent};

use super::{context, count, long, pointer};
use crate::{Errno, arch::syscall6};

#[cfg(any(target_pointer_width = "64", target_arch = "x86_64"))]
use crate::arch::IO_PGETEVENTS as NUMBER;
#[cfg(not(any(target_pointer_width = "64", target_arch = "x86_64")))]
use crate::arch::IO_PGETEVENTS_TIME64 as NUMBER;

/// The timespec that [`io_pgetevents`] takes on this target.
///
/// Its fields have 64 bits on all targets. It is the old timespec on 64-bit targets and x32, and
/// the new one on 32-bit targets.
#[cfg(any(target_pointer_width = "64", target_arch = "x86_64"))]
pub type PgetEventsTimespec = aio_abi::Timespec;
/// The timespec that [`io_pgetevents`] takes on this target.
///
/// Its fields have 64 bits on all targets. It is the old timespec on 64-bit targets and x32, and
/// the new one on 32-bit targets.
#[cfg(not(any(target_pointer_width = "64", target_arch = "x86_64")))]
pub type PgetEventsTimespec = aio_abi::Timespec64;

/// Does what [`io_getevents`](crate::io_getevents) does, and waits with another signal mask.
///
/// The kernel installs the mask for the duration of the call and restores the thread's own mask
/// afterwards. It does this atomically. So a signal that the thread's own mask blocks and the new
/// mask doesn't ends the wait with `EINTR`, even if it arrived before the call. If `sig` is null,
/// or its `sigmask` is 0, the thread's own mask stays in force.
///
/// If a signal ends the wait, its handler has run when the call returns, whether the result is
/// `EINTR` or a number of events. If no handler ran (for example because a debugger took the
/// signal), the kernel restarts the call with the full timeout.
/// [`io_getevents`](crate::io_getevents) returns `EINTR` in that case too.
///
/// # What the kernel keeps using
///
/// Nothing. The kernel copies the mask at the beginning of the call.
///
/// # Blocking
///
/// The call blocks as [`io_getevents`](crate::io_getevents) does.
///
/// # Errors
///
/// In the order of the kernel's checks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel is older than 4.18 (on 32-bit targets: than 5.1), or was built without native AIO |
/// | `EPERM` | not from the call itself: a container's seccomp filter doesn't know the call |
/// | `EFAULT` | `timeout` can't be read |
/// | `EFAULT` | `sig` isn't null and can't be read |
/// | `EINVAL` | `sigmask` isn't 0, and `sigsetsize` isn't the size of the kernel's set ([`Sigset`](aio_abi::Sigset), 8 bytes; 16 on mips) |
/// | `EFAULT` | `sigmask` isn't 0 and can't be read |
///
/// The errors of [`io_getevents`](crate::io_getevents) follow, from "no such context" on.
///
/// A program that falls back to [`io_getevents`](crate::io_getevents) should do so for `EPERM` too,
/// not only for `ENOSYS`.
///
/// # Safety
///
/// The rules of [`io_getevents`](crate::io_getevents) apply. `sig` must also be null or valid for
/// reads, and its `sigmask` must be 0 or the address of a [`Sigset`](aio_abi::Sigset) that is valid
/// for reads. Both may instead be addresses where nothing is mapped (`EFAULT`).
///
/// # Differences from the manual page
///
/// This call has no manual page. libaio has a function of the same name, whose last argument is a
/// `sigset_t`. The last argument of the call is a structure of a pointer and a size.
///
/// On 32-bit targets this function calls `io_pgetevents_time64`, and never the old call with a
/// 32-bit time.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::{AioContext, AioSigset, IoEvent, Sigset};
/// use aio_sys::{Errno, PgetEventsTimespec, io_destroy, io_pgetevents, io_setup};
/// use std::time::Duration;
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: `ctx` is valid for writes.
/// unsafe { io_setup(1, &mut ctx) }?;
///
/// let mut event = IoEvent::default();
/// let timeout = PgetEventsTimespec::from_duration(Duration::from_millis(10));
/// let mask = Sigset::FULL;
/// let sig = AioSigset::new(&mask);
/// // SAFETY: there is room for one event, and timeout, `sig` and mask are valid for reads.
/// let taken = unsafe { io_pgetevents(ctx, 1, 1, &mut event, &timeout, &sig) };
/// assert_eq!(taken, Ok(0), "the timeout expired, and the mask let no signal end the wait");
///
/// // SAFETY: no request is in flight, and nothing uses the ring.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 4.18. On 32-bit targets Linux 5.1. Source: `SYSCALL_DEFINE6(io_pgetevents)` in the
/// kernel's `fs/aio.c`.
#[doc(alias = "io_pgetevents_time64")]
#[inline(always)]
pub unsafe fn io_pgetevents(
    ctx: AioContext,
    min_nr: isize,
    nr: isize,
    events: *mut IoEvent,
    timeout: *const PgetEventsTimespec,
    sig: *const AioSigset,
) -> Result<usize, Errno> {
    let (ctx, min_nr, nr) = (context(ctx), long(min_nr), long(nr));
    let (events, timeout, sig) = (pointer(events), pointer(timeout), pointer(sig));
    // SAFETY: the kernel writes up to `nr` events to `events`, and reads `timeout`, `sig` and the
    // mask. The caller promises that `events` is valid for these writes, that nothing else accesses
    // it during the call, and that the others are null or valid for reads. Unmapped memory gives
    // `EFAULT`.
    count(unsafe { syscall6(NUMBER, ctx, min_nr, nr, events, timeout, sig) })
}
