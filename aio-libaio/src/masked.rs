//! `io_pgetevents` where the kernel doesn't have it or a filter forbids it.
//!
//! Changing the mask, waiting with `io_getevents` and changing it back would lose a signal that
//! arrives between the first two. So all signals stay blocked during the wait. A signal that
//! arrives is pending then. The wait is cut into slices, and after each the pending signals are
//! looked at. Those that the caller's mask doesn't block are unblocked for a moment, so that their
//! handlers run.

#![allow(
    unsafe_code,
    reason = "makes system calls, and reads what the caller points to"
)]

use core::{
    ffi::{c_int, c_long},
    ptr,
};

use aio_abi::{AioContext, IoEvent, Sigset, Timespec};
use aio_sys::{Errno, PgetEventsTimespec};

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
    // SAFETY: the kernel read the timeout just now, so it is readable if it isn't null.
    let timeout = unsafe { timeout.as_ref() };
    let time = timeout.map(|time| nanoseconds(time.tv_sec as i64, time.tv_nsec as i64));
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
        let has_run = let_handlers_run(wanted);
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

/// Unblocks the pending signals that the mask `wanted` doesn't block, for a moment. Returns whether
/// one has a handler, which ran then.
fn let_handlers_run(wanted: u64) -> bool {
    let deliver = pending() & !wanted;
    if deliver == 0 {
        return false;
    }
    let has_handler = (1..=64).any(|signal| deliver & bit(signal) != 0 && is_handled(signal));
    // Only these: another signal that arrives meanwhile would run its handler unnoticed.
    let rest = !deliver;
    // Neither can fail: the masks are variables.
    let _ = change(libc::SIG_SETMASK, &raw const rest);
    let _ = change(libc::SIG_SETMASK, &raw const ALL);
    has_handler
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Whether a signal has a handler.
fn is_handled(signal: c_int) -> bool {
    let mut action = core::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the action is writable, and nothing is changed.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros is a valid value, which the call may have overwritten.
    let action = unsafe { action.assume_init() };
    result == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
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
            [how as usize, mask, address(&mut old), size],
        )
    }
    .map(|()| old)
}

/// The signals that are pending.
fn pending() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the kernel writes the set, which has the size that it is told.
    let result = unsafe {
        let size = size_of::<u64>();
        system_call(libc::SYS_rt_sigpending, [address(&mut set), size, 0, 0])
    };
    if result.is_ok() { set } else { 0 }
}

fn address(set: &mut u64) -> usize {
    (&raw mut *set).expose_provenance()
}

/// Makes a system call, and leaves `errno` alone.
///
/// # Errors
///
/// Those of the call.
///
/// # Safety
///
/// The call does with these arguments only what Rust allows.
unsafe fn system_call(number: c_long, arguments: [usize; 4]) -> Result<(), Errno> {
    // SAFETY: the function takes nothing, and its result is always valid for this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: this thread's `errno` is readable.
    let before = unsafe { errno.read() };
    let [a, b, c, d] = arguments;
    // SAFETY: the caller promises it.
    if unsafe { libc::syscall(number, a, b, c, d) } == 0 {
        return Ok(());
    }
    // SAFETY: this thread's `errno` is readable.
    let error = unsafe { errno.read() };
    // SAFETY: this thread's `errno` is writable.
    unsafe { errno.write(before) };
    Err(Errno::from_raw(error).unwrap_or(Errno::EINVAL))
}
