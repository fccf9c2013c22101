//! `linux/aio_abi.h` as Rust types: the structures and numbers that a process and the kernel
//! exchange in Linux native AIO (`io_submit`, `io_getevents` and the other calls).
//!
//! The crate contains only data types. It makes no system calls, contains no unsafe code, and needs
//! neither the standard library nor an allocator. The types have the kernel's layout on 32-bit and
//! 64-bit targets of both byte orders. Assertions check this at compile time. The types can be used
//! on any operating system, for example to read a dump.
//!
//! The crate is the lowest of three. [`aio-sys`](https://docs.rs/aio-sys) makes the system calls,
//! and [`aio-safe`](https://docs.rs/aio-safe) has queues that own the buffers, for safe code.
//!
//! # Quick start
//!
//! An [`Iocb`] is a request. The function for an opcode makes one, or a program sets the fields
//! itself. An [`IoEvent`] is the result:
//!
//! ```
//! use aio_abi::{Iocb, IocbFlags, Opcode, RwFlags};
//!
//! let mut buffer = vec![0; 4096];
//! let mut iocb = Iocb::pread(3, buffer.as_mut_ptr(), buffer.len(), 8192).with_resfd(4);
//! iocb.aio_data = 7; // the event will hold this number
//! iocb.aio_rw_flags = RwFlags::NOWAIT;
//!
//! assert_eq!(iocb.aio_lio_opcode, Opcode::PREAD);
//! assert_eq!(iocb.aio_flags, IocbFlags::RESFD);
//! ```
//!
//! | C | Rust |
//! |---|---|
//! | `struct iocb` | [`Iocb`] |
//! | `struct io_event` | [`IoEvent`] |
//! | `aio_context_t` | [`AioContext`] |
//! | `IOCB_CMD_*` | [`Opcode`] |
//! | `IOCB_FLAG_*` | [`IocbFlags`] |
//! | `RWF_*` | [`RwFlags`] |
//! | `IOPRIO_*` | [`IoPrio`], [`IoPrioClass`] |
//! | `struct aio_ring` (not in the header) | [`RingHeader`] |
//! | `struct __aio_sigset` (not in the header), `sigset_t` | [`AioSigset`], [`Sigset`] |
//! | `struct __kernel_old_timespec`, `__kernel_timespec` | [`Timespec`], [`Timespec64`] |
//! | `struct iovec` | [`Iovec`] |
//!
//! # Bytes
//!
//! The types implement zerocopy's traits. [`IntoBytes`](zerocopy::IntoBytes) proves that they have
//! no padding. [`FromBytes`](zerocopy::FromBytes) makes it safe to read them from bytes. [`Iovec`]
//! is an exception, because it holds a pointer. All types keep numbers and bits that this crate
//! doesn't know.
//!
//! # Versions
//!
//! - **Rust**: 1.85 or later. Raising this is a minor version, never a patch.
//! - **Linux**: each item says which version of Linux introduced it. Distributions backport
//!   features to older kernels, so a version is no proof: try the feature, and look at the errno.
//! - **Semantic versioning**: flags, opcodes and classes are numbers with named constants, and not
//!   enums. So a name that a newer kernel adds doesn't break programs.
#![no_std]

#[cfg(test)]
extern crate std;

/// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod context;
mod event;
mod flags;
mod iocb;
mod ioprio;
mod iovec;
mod opcode;
mod ring;
mod sigset;
mod time;
mod ulong;

pub use context::AioContext;
pub use event::IoEvent;
pub use flags::{IocbFlags, RwFlags};
pub use iocb::{Iocb, KIOCB_KEY};
pub use ioprio::{IoPrio, IoPrioClass};
pub use iovec::Iovec;
pub use opcode::Opcode;
pub use ring::{RING_COMPAT_FEATURES, RING_INCOMPAT_FEATURES, RING_MAGIC, RingHeader};
pub use sigset::{AioSigset, Sigset};
pub use time::{Timespec, Timespec64};
