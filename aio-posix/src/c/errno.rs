//! This thread's `errno`.

#![allow(unsafe_code, reason = "uses the C library's variable")]

use std::ffi::c_int;

fn place() -> *mut c_int {
    // SAFETY: the function takes nothing, and returns the address of this thread's `errno`.
    unsafe { libc::__errno_location() }
}

/// Its value. Async-signal-safe.
pub(super) fn get() -> c_int {
    // SAFETY: only this thread uses the variable, which lives as long as the thread.
    unsafe { place().read() }
}

/// Changes it. Async-signal-safe.
pub(super) fn set(errno: c_int) {
    // SAFETY: only this thread uses the variable, which lives as long as the thread.
    unsafe { place().write(errno) }
}

/// Calls a function, and leaves `errno` as it is.
pub(super) fn keep<R>(function: impl FnOnce() -> R) -> R {
    let before = get();
    let result = function();
    set(before);
    result
}
