//! `linux/aio_abi.h` as Rust types: what Linux native AIO (`io_submit` and its kin) passes between
//! a process and the kernel.
//!
//! Data only. There is nothing here that calls the kernel (that is `aio-sys`), nothing that needs
//! an allocator or the standard library, and no unsafe code. The types have the kernel's layout on
//! 32-bit and 64-bit targets of both byte orders, which assertions check at compile time; they can
//! be used on any system, to read a dump for instance.
//!
//! # In a minute
//!
//! A request is an [`Iocb`], made by the function for its opcode or field by field; its outcome is
//! an [`IoEvent`]:
//!
//! ```
//! use aio_abi::{Iocb, IocbFlags, Opcode, RwFlags};
//!
//! let mut buffer = vec![0; 4096];
//! let mut iocb = Iocb::pread(3, buffer.as_mut_ptr(), buffer.len(), 8192).with_resfd(4);
//! iocb.aio_data = 7; // comes back in the event
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
//! The types implement zerocopy's traits: [`IntoBytes`](zerocopy::IntoBytes), which is the proof
//! that there is no padding, and [`FromBytes`](zerocopy::FromBytes), which makes reading them from
//! bytes safe. ([`Iovec`] doesn't: it holds a pointer.) Numbers and bits that this crate doesn't
//! know are kept everywhere.
//!
//! # Since when
//!
//! Each item says which version of Linux it came with. Distributions carry features back to older
//! versions, so what counts is the kernel's answer: try, and look at the errno.
#![no_std]

#[cfg(test)]
extern crate std;

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
