//! `linux/aio_abi.h` as Rust types.
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
