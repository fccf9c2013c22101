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
/// Two longs, but on riscv32, which has no calls with a 32-bit time.
#[cfg(not(target_arch = "riscv32"))]
pub type GetEventsTimespec = aio_abi::Timespec;
/// The timespec that [`io_getevents`] takes on this target.
///
/// Two longs, but on riscv32, which has no calls with a 32-bit time.
#[cfg(target_arch = "riscv32")]
pub type GetEventsTimespec = aio_abi::Timespec64;

/// Takes up to `nr` events out of the ring, waiting until there are `min_nr` or the time is up, and
/// returns how many it stored at `events`.
///
/// `timeout` is relative, measured on the monotonic clock; null waits without end. It isn't
/// checked: `tv_nsec` may be more than a second, and **a negative `tv_sec` waits for ever**. With
/// `min_nr` = 0 the call never waits and takes what is there.
///
/// Fewer than `min_nr` events are the result if the time was up first (0 is no error), or if a
/// signal came and some events were there.
///
/// Events come in the order in which requests ended, which isn't that of their submission.
///
/// # What the kernel holds on to
///
/// Nothing.
///
/// # Blocking
///
/// As said; interruptible by signals. Threads that wait on one context at the same time each get
/// different events.
///
/// # Errors
///
/// In the order in which the kernel looks:
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EFAULT` | `timeout` can't be read (even if the context is bad as well) |
/// | `EINVAL` | no such context |
/// | `EINVAL` | `min_nr` is negative, or more than `nr` |
/// | `EFAULT` | an event can't be stored. It stays in the ring, and is there for the next call |
/// | `EINTR` | a signal came, and no event was there. Never restarted by the kernel |
/// | `EINVAL` | the context was destroyed while the call waited |
///
/// # Safety
///
/// `events` must be valid for writes of `nr` events (or an address where nothing is mapped for
/// writing, which is answered with `EFAULT`), and nothing else may use them during the call.
/// `timeout` must be null or valid for reads.
///
/// The events are as old and as good as the ring's head index: whoever stores a wrong one there
/// (the ring is the process's own memory) is handed events a second time. So don't take
/// [`obj`](IoEvent::obj) or [`data`](IoEvent::data) for a pointer unless nobody stores to the ring.
///
/// # What differs from the manual page
///
/// `io_getevents(2)` doesn't say what becomes of events on `EFAULT`, that the timeout isn't
/// checked, that a negative one never ends, or that `EINVAL` is also what a waiting thread gets
/// when the context is destroyed.
///
/// On riscv32 this is `io_pgetevents_time64` without a signal mask, as there is no `io_getevents`.
///
/// # Examples
///
/// ```
/// use aio_sys::abi::{AioContext, IoEvent};
/// use aio_sys::{Errno, GetEventsTimespec, io_destroy, io_getevents, io_setup};
/// use std::time::Duration;
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(1, &mut ctx) }?;
///
/// let mut events = [IoEvent::default(); 4];
/// let timeout = GetEventsTimespec::from_duration(Duration::from_millis(10));
/// // SAFETY: the array has room for four.
/// let taken = unsafe { io_getevents(ctx, 1, 4, events.as_mut_ptr(), &timeout) };
/// assert_eq!(taken, Ok(0), "the time was up");
///
/// // SAFETY: nothing is in flight.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. Since 6.8 a waiting thread is woken when its `min_nr` events are there; before, at
/// each event. Source: `SYSCALL_DEFINE5(io_getevents)` and `read_events` in the kernel's
/// `fs/aio.c`; `io_getevents(2)`.
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
    // SAFETY: the kernel writes to `events` and reads `timeout`, which the caller allows.
    #[cfg(not(target_arch = "riscv32"))]
    return count(unsafe { syscall5(IO_GETEVENTS, ctx, min_nr, nr, events, timeout) });
    // SAFETY: as above; a signal argument of 0 is none.
    #[cfg(target_arch = "riscv32")]
    return count(unsafe { syscall6(IO_PGETEVENTS_TIME64, ctx, min_nr, nr, events, timeout, 0) });
}
