//! System calls that aio-sys doesn't have.

#![allow(unsafe_code, reason = "makes system calls")]

use core::ffi::c_long;

use aio_abi::AioContext;
use aio_sys::Errno;

/// Checks that a handle can be written to a place, by writing something there.
///
/// # Errors
///
/// EFAULT if it can't.
///
/// # Safety
///
/// `place` is valid for writes, or nothing is mapped there.
pub(crate) unsafe fn probe(place: *mut AioContext) -> Result<(), Errno> {
    const { assert!(size_of::<AioContext>() == size_of::<u64>()) };
    // The kernel takes null for nowhere.
    if place.is_null() {
        return Err(Errno::EFAULT);
    }
    let (how, size) = (libc::SIG_BLOCK as usize, size_of::<u64>());
    let place = place.expose_provenance();
    // Without a new mask, the kernel changes nothing, and writes the thread's mask.
    // SAFETY: the kernel writes so many bytes, or none, where the caller promises that it may.
    unsafe { system_call(libc::SYS_rt_sigprocmask, [how, 0, place, size, 0]) }
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
pub(crate) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> Result<(), Errno> {
    // SAFETY: the function takes nothing, and its result is always valid for this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: this thread's `errno` is readable.
    let before = unsafe { errno.read() };
    let [a, b, c, d, e] = arguments;
    // SAFETY: the call does what Rust allows with these arguments, which the caller promises.
    if unsafe { libc::syscall(number, a, b, c, d, e) } == 0 {
        return Ok(());
    }
    // SAFETY: this thread's `errno` is readable.
    let error = unsafe { errno.read() };
    // SAFETY: this thread's `errno` is writable.
    unsafe { errno.write(before) };
    Err(Errno::from_raw(error).unwrap_or(Errno::EINVAL))
}
