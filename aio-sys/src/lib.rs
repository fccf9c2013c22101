//! The six system calls of Linux native AIO.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "aio-sys is for Linux: no other kernel has the calls of native AIO (io_setup, io_submit, ...)"
);

#[allow(unsafe_code, reason = "inline assembly is how a system call is made")]
mod arch;
#[allow(unsafe_code, reason = "the calls take raw pointers")]
mod calls;
mod errno;
pub mod nr;

pub use aio_abi as abi;
pub use calls::{
    GetEventsTimespec, PgetEventsTimespec, io_cancel, io_destroy, io_getevents, io_pgetevents,
    io_setup, io_submit,
};
pub use errno::Errno;
