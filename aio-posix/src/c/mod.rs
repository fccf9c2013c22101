//! The functions of `<aio.h>` for C programs, with glibc's types.
//!
//! `cargo xtask c-faces` makes the C library from them. In a Rust program they have no C names.
//! They are public for tests.
//!
//! A control block's status is in the block itself (`__error_code`, `__return_value`), where
//! glibc has it. It is written when the request begins and when it is over, at no other time.
//!
//! # Bad addresses
//!
//! A program may pass addresses at which nothing is mapped. glibc's functions crash then. These ask
//! the kernel first whether it can read the memory, and return EINVAL if not. The memory of a
//! request in flight has to stay mapped, as the standard demands.

mod block;
mod cached;
mod calls;
mod counters;
mod errno;
mod lists;
mod memory;
mod notify;
mod process;
#[cfg(aio_posix)]
mod sixty_four;
mod vxworks;

pub use block::{Aiocb, Sigevent};
pub use calls::{
    aio_cancel, aio_error, aio_fsync, aio_init, aio_read, aio_return, aio_suspend, aio_write,
};
pub use lists::lio_listio;
pub use process::AioInit;
pub use vxworks::{aioPxLibInit, aioShow, aioSysInit};
