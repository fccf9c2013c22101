//! libaio in Rust: the C library through which most programs use Linux native AIO.
//!
//! fio, QEMU, `MariaDB`, LVM and many others call `io_setup`, `io_submit`, `io_getevents` and their
//! kin in `libaio.so.1`. This crate has the same functions, with the same names, versions, types
//! and results, on [`aio-sys`](aio_sys). `cargo xtask c-faces --install PREFIX` in its repository
//! builds the libraries `libaio.so.1` and `libaio.a`, and installs them with a header and a file
//! for pkg-config.
//!
//! A Rust program doesn't need this crate: [`aio-safe`](https://docs.rs/aio-safe) is for programs
//! that want safe queues, and [`aio-sys`](aio_sys) for those that want the bare calls. As a Rust
//! library it serves tests.
//!
//! # Conventions of libaio
//!
//! A function returns a negative errno when it fails, and leaves `errno` alone. An `io_context_t`
//! is the kernel's own handle of a context, so programs that read the completion ring through it
//! work.
//!
//! # What is better than the original
//!
//! - `io_getevents` and `io_pgetevents` with a handle that isn't a context return `-EINVAL`, and so
//!   do all functions in a forked child. The original reads the ring and the timeout before it
//!   calls the kernel, and crashes when one of them isn't there. This library always asks the
//!   kernel. A poll with a timeout of zero that finds no event costs a system call here, and none
//!   there.
//! - `io_pgetevents` works on kernels before 4.18, and where a seccomp filter forbids it: see
//!   [`io_pgetevents`].
//! - `io_queue_run` passes over an event without a callback. The original calls address 0.
//!
//! # Which library a program uses
//!
//! With `AIO_LIBAIO_COUNTERS=1` in its environment, a program that uses this library says so when
//! it ends, on standard error:
//!
//! ```text
//! aio-libaio: 1 contexts; 16384 io_submit, 16384 requests; 16384 io_getevents, 16384 events
//! ```
//!
//! # Targets
//!
//! Linux on 64-bit architectures, with glibc. It was tried on `x86_64`.

#![no_std]
#![cfg_attr(
    aio_libaio,
    allow(unsafe_code, reason = "exports symbols that C programs look for")
)]

mod by_libc;
mod counters;
#[cfg(aio_libaio = "shared")]
mod exported;
mod kernel;
mod masked;
mod old;
mod queue;

pub use crate::{
    kernel::{io_cancel, io_destroy, io_getevents, io_pgetevents, io_setup, io_submit},
    old::{io_cancel_0_1, io_getevents_0_1, io_queue_wait_0_1},
    queue::{IoCallback, io_queue_init, io_queue_release, io_queue_run, io_queue_wait},
};

/// The library has no code that panics. The linker would need the standard library otherwise.
#[cfg(aio_libaio)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the function takes nothing and doesn't return.
    unsafe { libc::abort() }
}
