//! The six system calls of Linux native AIO, as they are: `io_setup`, `io_submit`, `io_getevents`,
//! `io_pgetevents`, `io_cancel` and `io_destroy`.
//!
//! Each call is the instruction itself, in inline assembly: no libc, no libaio, no standard
//! library, no allocator. Each call's page says what the manual page doesn't: the order of the
//! checks, what the kernel holds on to afterwards, what blocks. The structures are `aio-abi`'s,
//! re-exported as [`abi`].
//!
//! This is for those who write a storage engine, an emulator or a test of the kernel. Everything
//! here is `unsafe`, as buffers have to outlive requests and nothing here sees to that; `aio-safe`
//! does.
//!
//! # In a minute
//!
//! ```
//! use aio_sys::abi::{AioContext, IoEvent, Iocb};
//! use aio_sys::{Errno, io_destroy, io_getevents, io_setup, io_submit};
//! use std::os::fd::AsRawFd;
//!
//! let file = std::fs::File::open("/proc/self/exe").unwrap();
//! let mut buffer = [0_u8; 64];
//!
//! let mut ctx = AioContext::NONE;
//! // SAFETY: the handle is written to a local variable.
//! unsafe { io_setup(1, &mut ctx) }?;
//!
//! let mut iocb = Iocb::pread(file.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), 0);
//! let mut pointer = &raw mut iocb;
//! // SAFETY: the buffer lives until the event is there, and nobody uses it until then.
//! unsafe { io_submit(ctx, 1, &raw mut pointer) }?;
//!
//! let mut event = IoEvent::default();
//! // SAFETY: there is room for one event. A null timeout waits without end.
//! unsafe { io_getevents(ctx, 1, 1, &mut event, std::ptr::null()) }?;
//! assert_eq!(Errno::from_result(event.res), Some(Ok(64)));
//! assert_eq!(&buffer[..4], b"\x7fELF");
//!
//! // SAFETY: nothing is in flight, and nobody knows the ring.
//! unsafe { io_destroy(ctx) }?;
//! # Ok::<(), Errno>(())
//! ```
//!
//! `examples/no-libc` in the source is a program without libc and without the standard library.
//!
//! # Targets
//!
//! | target | how |
//! |---|---|
//! | `x86_64`, also x32 | `syscall` |
//! | `x86` | `int 0x80` |
//! | `aarch64`, `arm` | `svc` |
//! | `riscv64`, `riscv32` | `ecall` |
//! | `loongarch64` | `syscall` |
//! | `s390x` | `svc` |
//! | `powerpc*`, `mips*`, `sparc*` | the C library's `syscall`: stable Rust 1.85 has no inline assembly there |
//!
//! Others, and other systems than Linux, fail to compile and say so. On 32-bit targets
//! [`io_pgetevents`] is `io_pgetevents_time64` (Linux 5.1).
//!
//! # Features
//!
//! * `std`: conversions between [`Errno`] and
//!   [`std::io::Error`](https://doc.rust-lang.org/std/io/struct.Error.html).
//!
//! # Minimum versions
//!
//! Rust 1.85. Any Linux that Rust runs on has the calls but `io_pgetevents` (4.18), if it was built
//! with `CONFIG_AIO` and no seccomp filter is in the way.
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
