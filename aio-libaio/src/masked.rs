//! `io_pgetevents` where the kernel doesn't have it or a filter forbids it.
//!
//! Changing the mask, waiting with `io_getevents` and changing it back would lose a signal that
//! arrives between the first two. So all signals stay blocked during the wait. A signal that
//! arrives is pending then. The wait is cut into slices. After each, a poll that doesn't wait runs
//! the handlers of the pending signals that the caller's mask doesn't block: `ppoll` changes the
//! mask and looks for signals in one step.

#![allow(
    unsafe_code,
    reason = "makes system calls, and reads what the caller points to"
)]

use core::{ffi::c_int, ptr};

use aio_abi::{AioContext, IoEvent, Sigset, Timespec};
use aio_sys::{Errno, PgetEventsTimespec};

use crate::by_libc::system_call;

/// For how long a signal may wait for its handler, in nanoseconds.
const SLICE: i128 = 5_000_000;

/// All signals. The kernel never blocks SIGKILL and SIGSTOP.
static ALL: u64 = !0;

/// As `io_pgetevents`.
///
/// # Errors
///
/// As `io_pgetevents`.
///
/// # Safety
///
/// As for `io_pgetevents`.
pub(crate) unsafe fn wait(
    ctx: AioContext,
    min: isize,
    nr: isize,
    events: *mut IoEvent,
    timeout: *mut PgetEventsTimespec,
    mask: *mut Sigset,
) -> Result<usize, Errno> {
    // The kernel checks the arguments and waits for nothing, as `min` and `nr` are 0.
    // SAFETY: `timeout` is readable, null or unmapped, which the caller promises. No event is
    // written.
    unsafe { aio_sys::io_getevents(ctx, 0, 0, ptr::null_mut(), timeout) }?;
    if mask.is_null() {
        // SAFETY: the caller promises what `io_getevents` requires.
        return unsafe { aio_sys::io_getevents(ctx, min, nr, events, timeout) };
    }
    let time = if timeout.is_null() {
        None
    } else {
        // SAFETY: the kernel read the timeout just now, so it is readable. Like the kernel, this
        // takes any alignment.
        let time = unsafe { timeout.read_unaligned() };
        Some(nanoseconds(time.tv_sec as i64, time.tv_nsec as i64))
    };
    // The kernel waits without limit if the time is negative.
    let until = time.filter(|time| *time >= 0).map(|time| now() + time);
    let own = change(libc::SIG_SETMASK, &raw const ALL)?;
    // All signals are blocked, so this changes nothing. It fails if the mask can't be read.
    let wanted = change(libc::SIG_BLOCK, mask.cast::<u64>().cast_const());
    // SAFETY: the kernel read the mask just now, so it is readable.
    let wanted = wanted.map(|_| unsafe { mask.cast::<u64>().read_unaligned() });
    let result = wanted.and_then(|wanted| {
        // SAFETY: the caller promises what `io_getevents` requires.
        unsafe { slices(ctx, min, nr, events, until, wanted) }
    });
    // It can't fail: the mask is a variable.
    let _ = change(libc::SIG_SETMASK, &raw const own);
    result
}

/// Waits, with all signals blocked.
///
/// # Errors
///
/// As `io_pgetevents`.
///
/// # Safety
///
/// As for `io_getevents`.
unsafe fn slices(
    ctx: AioContext,
    min: isize,
    nr: isize,
    events: *mut IoEvent,
    until: Option<i128>,
    wanted: u64,
) -> Result<usize, Errno> {
    let mut taken = 0_usize;
    loop {
        let has_run = match let_handlers_run(wanted) {
            Ok(has_run) => has_run,
            Err(_) if taken > 0 => return Ok(taken),
            Err(errno) => return Err(errno),
        };
        let left = until.map_or(SLICE, |until| until - now());
        let is_last = has_run || left <= SLICE && until.is_some();
        let slice = if has_run { 0 } else { left.clamp(0, SLICE) };
        let mut timeout = Timespec {
            tv_sec: 0,
            tv_nsec: slice as _,
        };
        let already = taken as isize;
        let place = events.wrapping_add(taken);
        // SAFETY: the caller promises that there is room for `nr` events, of which `taken` are
        // written.
        let result = unsafe {
            aio_sys::io_getevents(
                ctx,
                min.saturating_sub(already),
                nr.saturating_sub(already),
                place,
                (&raw mut timeout).cast(),
            )
        };
        match result {
            Ok(count) => taken += count,
            // Events that were taken are told first. The error comes again with the next call.
            Err(_) if taken > 0 => return Ok(taken),
            Err(errno) => return Err(errno),
        }
        if taken as isize >= min || is_last {
            return match taken {
                0 if has_run => Err(Errno::EINTR),
                _ => Ok(taken),
            };
        }
    }
}

fn nanoseconds(sec: i64, nsec: i64) -> i128 {
    i128::from(sec) * 1_000_000_000 + i128::from(nsec)
}

/// The time in nanoseconds.
fn now() -> i128 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is writable. The call can't fail: this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    nanoseconds(time.tv_sec, time.tv_nsec)
}

/// Runs the handlers of pending signals as the kernel's call does: with the mask `wanted` for as long
/// as they run, and one for each kind of signal. Returns whether one ran.
///
/// # Errors
///
/// Those of `ppoll`, as where a filter forbids it.
fn let_handlers_run(wanted: u64) -> Result<bool, Errno> {
    let now = [0_u64; 2];
    let arguments = [
        0,
        0,
        (&raw const now).expose_provenance(),
        (&raw const wanted).expose_provenance(),
        size_of::<u64>(),
    ];
    // A poll of nothing that doesn't wait. The kernel sets the mask for it, and answers EINTR if a
    // handler has run.
    // SAFETY: the time and the mask are readable, and nothing is polled or written: the kernel
    // leaves a time of zero alone.
    match unsafe { system_call(libc::SYS_ppoll, arguments) } {
        Ok(()) => Ok(false),
        Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Changes the thread's mask, and returns what it was.
///
/// # Errors
///
/// EFAULT if `mask` can't be read.
fn change(how: c_int, mask: *const u64) -> Result<u64, Errno> {
    let mut old = 0_u64;
    let (mask, size) = (mask.expose_provenance(), size_of::<u64>());
    // SAFETY: the kernel reads `mask` if it can, and writes `old`, which has the size that it is
    // told.
    unsafe {
        system_call(
            libc::SYS_rt_sigprocmask,
            [how as usize, mask, address(&mut old), size, 0],
        )
    }
    .map(|()| old)
}

fn address(set: &mut u64) -> usize {
    (&raw mut *set).expose_provenance()
}
