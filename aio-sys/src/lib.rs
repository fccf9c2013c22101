//! The six system calls of Linux native AIO: `io_setup`, `io_submit`, `io_getevents`,
//! `io_pgetevents`, `io_cancel` and `io_destroy`.
//!
//! On most targets each call is the system call instruction in inline assembly, and the crate
//! doesn't need libc. It needs neither libaio, nor the standard library, nor an allocator. Each
//! call's page says what its manual page leaves out: the order of the checks, what the kernel keeps
//! using after the call, and what blocks. The structures are those of [`aio-abi`](aio_abi),
//! re-exported as [`abi`].
//!
//! The crate is for storage engines, emulators and tests of the kernel. All calls are `unsafe`,
//! because the buffers must outlive the requests and nothing here checks that.
//! [`aio-safe`](https://docs.rs/aio-safe) guarantees it.
//!
//! # Quick start
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
//! // SAFETY: `ctx` is valid for writes.
//! unsafe { io_setup(1, &mut ctx) }?;
//!
//! let mut iocb = Iocb::pread(file.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), 0);
//! let mut pointer = &raw mut iocb;
//! // SAFETY: the iocb is valid, and nothing uses the buffer until the event is there.
//! unsafe { io_submit(ctx, 1, &raw mut pointer) }?;
//!
//! let mut event = IoEvent::default();
//! // SAFETY: there is room for one event. A null timeout waits without limit.
//! unsafe { io_getevents(ctx, 1, 1, &mut event, std::ptr::null()) }?;
//! assert_eq!(Errno::from_result(event.res), Some(Ok(64)));
//! assert_eq!(&buffer[..4], b"\x7fELF");
//!
//! // SAFETY: no request is in flight, and nothing uses the ring.
//! unsafe { io_destroy(ctx) }?;
//! # Ok::<(), Errno>(())
//! ```
//!
//! The directory `examples/no-libc` of the source holds a program without libc and without the
//! standard library.
//!
//! # All calls are inlined
//!
//! All six functions are `#[inline(always)]`, which holds in debug builds too. The system call
//! instruction is in the function that calls them, and no `ret` of this crate follows it. Targets
//! that use the C library's `syscall` are an exception: there the instruction is in the C library.
//!
//! On some processors a `ret` after a system call costs much. An example is an AMD EPYC (Zen 4, a
//! virtual machine) with Linux 6.18 and the mitigations that Linux chooses for it (retpolines, Safe
//! RET). A loop read 4 KiB at a time, with one [`io_submit`] for each read, and took the events
//! from the ring. An operation took 920 ns with the instruction in the loop. It took 1310 ns with
//! the same instruction in a function that wasn't inlined. In the repository,
//! `cargo xtask bench --explain returns` repeats this experiment and says what the `ret` costs on
//! your machine.
//!
//! The likely cause, which isn't proven, is how a processor predicts where a `ret` goes. It keeps a
//! stack of the return addresses that each `call` pushed. The kernel overwrites that stack during a
//! system call. So the processor mispredicts a `ret` after the system call if the matching `call`
//! came before it.
//!
//! If you wrap one of these calls in a function of your own, let the compiler inline that function
//! too. This matters for programs that submit single operations which complete within a few
//! microseconds. It makes no difference where a device takes longer, or where one call submits a
//! large batch.
//!
//! # Targets
//!
//! | target | instruction |
//! |---|---|
//! | `x86_64`, also x32 | `syscall` |
//! | `x86` | `int 0x80` |
//! | `aarch64`, `arm` | `svc` |
//! | `riscv64`, `riscv32` | `ecall` |
//! | `loongarch64` | `syscall` |
//! | `s390x` | `svc` |
//! | `powerpc*`, `mips*`, `sparc*` | the C library's `syscall`: stable Rust 1.85 has no inline assembly there |
//!
//! On other architectures and other operating systems the crate doesn't compile, and the error
//! message says why. On 32-bit targets [`io_pgetevents`] is the call `io_pgetevents_time64`.
//!
//! # Features
//!
//! * `std`: conversions between [`Errno`] and
//!   [`std::io::Error`](https://doc.rust-lang.org/std/io/struct.Error.html).
//!
//! # Versions
//!
//! - **Rust**: 1.85 or later. Raising this is a minor version, never a patch.
//! - **Linux**: 4.18 or later, tested from 5.10 on. Older kernels have all calls except
//!   `io_pgetevents`. On 32-bit targets `io_pgetevents` needs Linux 5.1.
//!
//! A kernel without `CONFIG_AIO` answers `ENOSYS` to all calls. A seccomp filter can forbid some or
//! all of them, usually with `EPERM`.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

/// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
