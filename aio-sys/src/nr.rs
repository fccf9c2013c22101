//! The numbers of the system calls on the target, for those who need them for something other than
//! a call: a seccomp filter, a tracer.
//!
//! They differ by architecture, and so does their order. On x32 they have bit 30 set.
//!
//! ```
//! # #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
//! assert_eq!(aio_sys::nr::IO_SETUP, 206);
//! ```
//!
//! Source: `asm/unistd.h` of each architecture.

use crate::arch;

/// The number of `io_setup`.
#[doc(alias = "__NR_io_setup")]
#[doc(alias = "SYS_io_setup")]
pub const IO_SETUP: u32 = arch::IO_SETUP;

/// The number of `io_destroy`.
#[doc(alias = "__NR_io_destroy")]
#[doc(alias = "SYS_io_destroy")]
pub const IO_DESTROY: u32 = arch::IO_DESTROY;

/// The number of `io_submit`.
#[doc(alias = "__NR_io_submit")]
#[doc(alias = "SYS_io_submit")]
pub const IO_SUBMIT: u32 = arch::IO_SUBMIT;

/// The number of `io_cancel`.
#[doc(alias = "__NR_io_cancel")]
#[doc(alias = "SYS_io_cancel")]
pub const IO_CANCEL: u32 = arch::IO_CANCEL;

/// The number of `io_getevents`.
///
/// Not on riscv32, which has no calls with a 32-bit time.
#[cfg(not(target_arch = "riscv32"))]
#[doc(alias = "__NR_io_getevents")]
#[doc(alias = "SYS_io_getevents")]
pub const IO_GETEVENTS: u32 = arch::IO_GETEVENTS;

/// The number of `io_pgetevents`. Since Linux 4.18.
///
/// On 32-bit targets it is the old call, which [`io_pgetevents`](crate::io_pgetevents) doesn't use.
#[cfg(not(target_arch = "riscv32"))]
#[doc(alias = "__NR_io_pgetevents")]
#[doc(alias = "SYS_io_pgetevents")]
pub const IO_PGETEVENTS: u32 = arch::IO_PGETEVENTS;

/// The number of `io_pgetevents_time64`. 32-bit targets only; since Linux 5.1.
#[cfg(all(target_pointer_width = "32", not(target_arch = "x86_64")))]
#[doc(alias = "__NR_io_pgetevents_time64")]
#[doc(alias = "SYS_io_pgetevents_time64")]
pub const IO_PGETEVENTS_TIME64: u32 = arch::IO_PGETEVENTS_TIME64;
