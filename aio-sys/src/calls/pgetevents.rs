//! `io_pgetevents`.

use aio_abi::{AioContext, AioSigset, IoEvent};

use super::{context, count, long, pointer};
use crate::Errno;
use crate::arch::syscall6;

#[cfg(any(target_pointer_width = "64", target_arch = "x86_64"))]
use crate::arch::IO_PGETEVENTS as NUMBER;
#[cfg(not(any(target_pointer_width = "64", target_arch = "x86_64")))]
use crate::arch::IO_PGETEVENTS_TIME64 as NUMBER;

/// The timespec that [`io_pgetevents`] takes on this target.
///
/// 64 bits wide everywhere: the old timespec on 64-bit targets and x32, the new one on 32-bit ones.
#[cfg(any(target_pointer_width = "64", target_arch = "x86_64"))]
pub type PgetEventsTimespec = aio_abi::Timespec;
/// The timespec that [`io_pgetevents`] takes on this target.
///
/// 64 bits wide everywhere: the old timespec on 64-bit targets and x32, the new one on 32-bit ones.
#[cfg(not(any(target_pointer_width = "64", target_arch = "x86_64")))]
pub type PgetEventsTimespec = aio_abi::Timespec64;

/// As [`io_getevents`](crate::io_getevents), waiting with another signal mask.
///
/// The mask is in force while the call waits, and the thread's own one again afterwards, as one
/// step: a signal that is blocked otherwise ends the wait with `EINTR` even if it came before the
/// call. With `sig` null, or a `sigmask` of 0 in it, the mask stays as it is.
///
/// When the call returns after a signal that the mask lets through, its handler has run, whether
/// the result is `EINTR` or a count of events. Where no handler ran (the signal was for a debugger,
/// say) the kernel starts the call again, timeout and all, while
/// [`io_getevents`](crate::io_getevents) answers `EINTR` even then.
///
/// # What the kernel holds on to
///
/// Nothing. The mask is copied when the call begins.
///
/// # Blocking
///
/// As [`io_getevents`](crate::io_getevents).
///
/// # Errors
///
/// In the order in which the kernel looks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | Linux before 4.18 (before 5.1 on 32-bit targets), or built without native AIO |
/// | `EPERM` | a container's seccomp filter that doesn't know the call; nothing that the kernel says |
/// | `EFAULT` | `timeout` can't be read |
/// | `EFAULT` | `sig` isn't null and can't be read |
/// | `EINVAL` | `sigmask` isn't 0, and `sigsetsize` isn't the size of the kernel's set ([`Sigset`](aio_abi::Sigset), 8 bytes; 16 on mips) |
/// | `EFAULT` | `sigmask` isn't 0 and can't be read |
///
/// then as [`io_getevents`](crate::io_getevents), from "no such context" on.
///
/// Whoever falls back on [`io_getevents`](crate::io_getevents) does so for `EPERM` as well.
///
/// # Safety
///
/// As for [`io_getevents`](crate::io_getevents); `sig` must be null or valid for reads, and its
/// `sigmask` 0 or the address of a [`Sigset`](aio_abi::Sigset) that is valid for reads.
///
/// # What differs from the manual page
///
/// There is none. libaio's function of this name takes a `sigset_t` as its last argument; the call
/// takes a structure of a pointer and a size.
///
/// On 32-bit targets this is the call `io_pgetevents_time64`, never the old one with a 32-bit time.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::{AioContext, AioSigset, IoEvent, Sigset};
/// use aio_sys::{Errno, PgetEventsTimespec, io_destroy, io_pgetevents, io_setup};
/// use std::time::Duration;
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(1, &mut ctx) }?;
///
/// let mut event = IoEvent::default();
/// let timeout = PgetEventsTimespec::from_duration(Duration::from_millis(10));
/// let mask = Sigset::FULL;
/// let sig = AioSigset::new(&mask);
/// // SAFETY: there is room for one event, and the mask outlives the call.
/// let taken = unsafe { io_pgetevents(ctx, 1, 1, &mut event, &timeout, &sig) };
/// assert_eq!(taken, Ok(0), "the time was up, and no signal could end the wait");
///
/// // SAFETY: nothing is in flight.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 4.18; on 32-bit targets 5.1. Source: `SYSCALL_DEFINE6(io_pgetevents)` in the kernel's
/// `fs/aio.c`.
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
    // SAFETY: the kernel writes to `events` and reads `timeout` and `sig`, which the caller allows.
    count(unsafe { syscall6(NUMBER, ctx, min_nr, nr, events, timeout, sig) })
}
