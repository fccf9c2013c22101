//! `io_getevents`.

use aio_abi::{AioContext, IoEvent};

use super::{context, count, long, pointer};
use crate::Errno;
#[cfg(not(target_arch = "riscv32"))]
use crate::arch::{IO_GETEVENTS, syscall5};
#[cfg(target_arch = "riscv32")]
use crate::arch::{IO_PGETEVENTS_TIME64, syscall6};

/// The timespec that [`io_getevents`] takes on this target.
///
/// On all targets except riscv32 it consists of two longs. On riscv32 it has 64-bit fields, because
/// riscv32 has no calls with a 32-bit time.
#[cfg(not(target_arch = "riscv32"))]
pub type GetEventsTimespec = aio_abi::Timespec;
/// The timespec that [`io_getevents`] takes on this target.
///
/// On all targets except riscv32 it consists of two longs. On riscv32 it has 64-bit fields, because
/// riscv32 has no calls with a 32-bit time.
#[cfg(target_arch = "riscv32")]
pub type GetEventsTimespec = aio_abi::Timespec64;

/// Takes up to `nr` events out of the ring and stores them at `events`. Waits until there are at
/// least `min_nr` events or the timeout expires. Returns the number of events that it stored.
///
/// `timeout` is relative and measured on the monotonic clock. With a null pointer the call waits
/// without limit. The kernel doesn't check the timeout: `tv_nsec` may be more than a second, and
/// **a negative `tv_sec` waits without limit**. With `min_nr` = 0 the call never waits and takes
/// the events that are there.
///
/// The call can return fewer than `min_nr` events in two cases. The timeout expired, and then the
/// result can be 0, which isn't an error. Or a signal arrived when there were some events, but
/// fewer than `min_nr`.
///
/// The events are in the order in which the requests completed, which can differ from the order of
/// submission.
///
/// # What the kernel keeps using
///
/// Nothing.
///
/// # Blocking
///
/// The call blocks as described above. Signals interrupt it. If several threads wait on one
/// context, each gets different events.
///
/// # Errors
///
/// In the order of the kernel's checks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EFAULT` | `timeout` can't be read (even if the context is bad as well) |
/// | `EINVAL` | no such context |
/// | `EINVAL` | `min_nr` is negative, or more than `nr` |
/// | `EFAULT` | an event can't be stored. It stays in the ring for the next call |
/// | `EINTR` | a signal arrived, and there was no event. The kernel never restarts the call |
/// | `EINVAL` | the context was destroyed during the wait |
///
/// # Safety
///
/// `events` must be valid for writes of `nr` events, and nothing else may access that memory during
/// the call. It may instead be an address where nothing is mapped for writing (`EFAULT`). `timeout`
/// must be null, valid for reads, or an address where nothing is mapped (`EFAULT`).
///
/// The ring is memory of the process, so any code of the process can store a wrong head index to
/// it. The call then returns old events again. So don't use [`obj`](IoEvent::obj) or
/// [`data`](IoEvent::data) as a pointer unless nothing else stores to the ring.
///
/// # Differences from the manual page
///
/// `io_getevents(2)` doesn't say that events stay in the ring after `EFAULT`. It doesn't say that
/// the timeout isn't checked, and that a negative timeout never expires. It doesn't say that a
/// waiting thread gets `EINVAL` when the context is destroyed.
///
/// riscv32 has no `io_getevents`, so there this function calls `io_pgetevents_time64` without a
/// signal mask.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::{AioContext, IoEvent};
/// use aio_sys::{Errno, GetEventsTimespec, io_destroy, io_getevents, io_setup};
/// use std::time::Duration;
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: `ctx` is valid for writes.
/// unsafe { io_setup(1, &mut ctx) }?;
///
/// let mut events = [IoEvent::default(); 4];
/// let timeout = GetEventsTimespec::from_duration(Duration::from_millis(10));
/// // SAFETY: the array has room for four events, and the timeout is valid for reads.
/// let taken = unsafe { io_getevents(ctx, 1, 4, events.as_mut_ptr(), &timeout) };
/// assert_eq!(taken, Ok(0), "the timeout expired");
///
/// // SAFETY: no request is in flight, and nothing uses the ring.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. Since Linux 6.8 the kernel wakes a waiting thread when there are `min_nr` events.
/// Before 6.8 it woke the thread at each event. Source: `SYSCALL_DEFINE5(io_getevents)` and
/// `read_events` in the kernel's `fs/aio.c`; `io_getevents(2)`.
#[inline(always)]
pub unsafe fn io_getevents(
    ctx: AioContext,
    min_nr: isize,
    nr: isize,
    events: *mut IoEvent,
    timeout: *const GetEventsTimespec,
) -> Result<usize, Errno> {
    let (ctx, min_nr, nr) = (context(ctx), long(min_nr), long(nr));
    let (events, timeout) = (pointer(events), pointer(timeout));
    // SAFETY: the kernel writes up to `nr` events to `events` and reads `timeout`. The caller
    // promises that `events` is valid for these writes, that nothing else accesses it during the
    // call, and that `timeout` is null or valid for reads. Unmapped memory gives `EFAULT`.
    #[cfg(not(target_arch = "riscv32"))]
    return count(unsafe { syscall5(IO_GETEVENTS, ctx, min_nr, nr, events, timeout) });
    // SAFETY: the kernel writes up to `nr` events to `events` and reads `timeout`. The caller
    // promises that `events` is valid for these writes, that nothing else accesses it during the
    // call, and that `timeout` is null or valid for reads. Unmapped memory gives `EFAULT`. The
    // signal argument is null, so the kernel reads no mask.
    #[cfg(target_arch = "riscv32")]
    return count(unsafe { syscall6(IO_PGETEVENTS_TIME64, ctx, min_nr, nr, events, timeout, 0) });
}
