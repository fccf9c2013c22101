//! Safe wrappers of the system calls that the standard library lacks.
//!
//! All of the crate's unsafe code that isn't about AIO is in here, in one file per subject.

#![allow(
    unsafe_code,
    reason = "wraps libc; everything else uses the safe functions in here"
)]

pub(crate) mod block;
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod init;
pub(crate) mod process;
pub(crate) mod rw;
pub(crate) mod seccomp;
pub(crate) mod signal;

use std::io;

/// Converts the result of a C function that returns -1 and sets `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
