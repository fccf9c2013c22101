//! The functions that are system calls.

#![allow(unsafe_code, reason = "passes on what C programs promise")]

use core::ffi::{c_int, c_long};

use aio_abi::{AioContext, AioSigset, IoEvent, Iocb, Sigset};
use aio_sys::{Errno, GetEventsTimespec, PgetEventsTimespec};

use crate::{counters, masked};

/// The result as C programs of libaio expect it: a count, or a negative errno.
pub(crate) fn answer(result: Result<usize, Errno>) -> c_int {
    match result {
        // The kernel counts in an int.
        Ok(count) => c_int::try_from(count).unwrap_or(c_int::MAX),
        Err(errno) => -errno.raw(),
    }
}

/// Makes a context for `maxevents` requests in flight, and stores its handle in `*ctxp`.
///
/// `*ctxp` must be 0 before. Returns 0, or:
///
/// - `-EINVAL`: `maxevents` is 0, negative or beyond what the kernel takes, or `*ctxp` isn't 0.
/// - `-EAGAIN`: the system's limit `aio-max-nr` is used up.
/// - `-EFAULT`: `ctxp` can't be read or written.
/// - `-ENOMEM`, and `-ENOSYS` or `-EPERM` where native AIO is switched off or forbidden.
///
/// # Safety
///
/// `ctxp` is valid for reads and writes, or nothing is mapped there.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_setup(maxevents: c_int, ctxp: *mut AioContext) -> c_int {
    // SAFETY: `ctxp` is valid for both or unmapped, which the caller promises.
    let result = unsafe { aio_sys::io_setup(maxevents as u32, ctxp) };
    counters::setup(answer(result.map(|()| 0)))
}

/// Destroys a context. Blocks until its requests are over. Their events are lost.
///
/// Returns 0, or `-EINVAL` if `ctx` isn't a context of this process.
///
/// # Safety
///
/// Nothing reads the context's ring any more, and nothing uses the requests' buffers until then.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_destroy(ctx: AioContext) -> c_int {
    // SAFETY: nothing reads the ring from now on, which the caller promises.
    answer(unsafe { aio_sys::io_destroy(ctx) }.map(|()| 0))
}

/// Submits the `nr` requests that `iocbs` points to.
///
/// Returns how many were submitted, or:
///
/// - `-EINVAL`: `ctx` isn't a context of this process, `nr` is negative, or the first request is
///   malformed.
/// - `-EAGAIN`: as many requests are in flight as the context takes.
/// - `-EBADF`: the first request's descriptor isn't open, or not for this.
/// - `-EFAULT`: `iocbs` or the first request can't be read.
///
/// # Safety
///
/// The iocbs are valid, and nobody else uses them during the call. The requests' buffers stay valid
/// until the events, and nobody uses them until then.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_submit(ctx: AioContext, nr: c_long, iocbs: *mut *mut Iocb) -> c_int {
    // SAFETY: iocbs and buffers are valid and unused for as long as the kernel uses them, which the
    // caller promises.
    let result = unsafe { aio_sys::io_submit(ctx, nr as isize, iocbs) };
    counters::submit(answer(result))
}

/// Asks the kernel to cancel a request.
///
/// The kernel answers `-EINPROGRESS` if the request will be cancelled. Its event then comes as
/// usual, and `*event` isn't written. No kernel since 3.10 writes it.
///
/// Returns 0 on kernels before that, or a negative errno: `-EINVAL` if `ctx` isn't a context of
/// this process or the request isn't in flight or can't be cancelled, `-EFAULT` if `iocb` can't be
/// read.
///
/// # Safety
///
/// `iocb` is valid for reads, or nothing is mapped there. `event` is valid for writes.
#[cfg_attr(aio_libaio = "static", unsafe(no_mangle))]
#[cfg_attr(aio_libaio = "shared", unsafe(export_name = "io_cancel_0_4"))]
pub unsafe extern "C" fn io_cancel(ctx: AioContext, iocb: *mut Iocb, event: *mut IoEvent) -> c_int {
    // SAFETY: `iocb` is readable or unmapped and `event` is writable, which the caller promises.
    answer(unsafe { aio_sys::io_cancel(ctx, iocb, event) }.map(|()| 0))
}

/// Waits for at least `min_nr` events, and takes at most `nr`.
///
/// Blocks until there are `min_nr`, or until `timeout` is over. A null `timeout` waits without
/// limit. The kernel doesn't change `*timeout`.
///
/// Returns the number of events, or:
///
/// - `-EINVAL`: `ctx` isn't a context of this process, or `min_nr` or `nr` is negative, or `min_nr`
///   is greater than `nr`.
/// - `-EINTR`: a signal's handler ran, and there was no event.
/// - `-EFAULT`: `events` can't be written, or `timeout` can't be read.
///
/// # Safety
///
/// `events` is valid for writes of `nr` events, and `timeout` for reads or null, or nothing is
/// mapped there.
#[cfg_attr(aio_libaio = "static", unsafe(no_mangle))]
#[cfg_attr(aio_libaio = "shared", unsafe(export_name = "io_getevents_0_4"))]
pub unsafe extern "C" fn io_getevents(
    ctx: AioContext,
    min_nr: c_long,
    nr: c_long,
    events: *mut IoEvent,
    timeout: *mut GetEventsTimespec,
) -> c_int {
    // SAFETY: `events` is writable and `timeout` readable, null or unmapped: the caller promises
    // that.
    let result =
        unsafe { aio_sys::io_getevents(ctx, min_nr as isize, nr as isize, events, timeout) };
    counters::wait(answer(result))
}

/// Does what [`io_getevents`] does, and waits with another signal mask. A null `mask` keeps the
/// thread's own.
///
/// Where the kernel doesn't have this call (before Linux 4.18) or a seccomp filter forbids it, the
/// library does the same by other calls. It blocks all signals, and looks for signals and for
/// events every few milliseconds. So a signal ends the wait up to 5 ms later than with the kernel's
/// call. No signal is lost. Handlers run with the mask that they have in the kernel's call. The
/// library needs `ppoll` for that: where it is forbidden too, its error is the result.
///
/// Returns what [`io_getevents`] returns, and `-EFAULT` also if `mask` can't be read.
///
/// # Safety
///
/// As for [`io_getevents`]. `mask` is valid for reads or null, or nothing is mapped there.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_pgetevents(
    ctx: AioContext,
    min_nr: c_long,
    nr: c_long,
    events: *mut IoEvent,
    timeout: *mut PgetEventsTimespec,
    mask: *mut Sigset,
) -> c_int {
    let (min, nr) = (min_nr as isize, nr as isize);
    let sigset = AioSigset::new(mask);
    // SAFETY: `events` is writable, and `timeout` and the mask are readable, null or unmapped: the
    // caller promises that.
    let mut result =
        unsafe { aio_sys::io_pgetevents(ctx, min, nr, events, timeout, &raw const sigset) };
    // Nothing else makes this call fail so.
    if let Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) = result {
        // SAFETY: the caller promises what the kernel's call requires.
        result = unsafe { masked::wait(ctx, min, nr, events, timeout, mask) };
    }
    counters::wait(answer(result))
}
