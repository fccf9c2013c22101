//! The numbers of the system calls on the target, for example for a seccomp filter or a tracer.
//!
//! The numbers and their order differ between architectures. On x32 bit 30 is set in all of them.
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
/// riscv32 doesn't have this constant, because it has no calls with a 32-bit time.
#[cfg(not(target_arch = "riscv32"))]
#[doc(alias = "__NR_io_getevents")]
#[doc(alias = "SYS_io_getevents")]
pub const IO_GETEVENTS: u32 = arch::IO_GETEVENTS;

/// The number of `io_pgetevents`. Since Linux 4.18.
///
/// On 32-bit targets this is the old call with a 32-bit time, and
/// [`io_pgetevents`](crate::io_pgetevents) doesn't use it. riscv32 doesn't have this constant.
#[cfg(not(target_arch = "riscv32"))]
#[doc(alias = "__NR_io_pgetevents")]
#[doc(alias = "SYS_io_pgetevents")]
pub const IO_PGETEVENTS: u32 = arch::IO_PGETEVENTS;

/// The number of `io_pgetevents_time64`. Only 32-bit targets have it. Since Linux 5.1.
#[cfg(all(target_pointer_width = "32", not(target_arch = "x86_64")))]
#[doc(alias = "__NR_io_pgetevents_time64")]
#[doc(alias = "SYS_io_pgetevents_time64")]
pub const IO_PGETEVENTS_TIME64: u32 = arch::IO_PGETEVENTS_TIME64;
