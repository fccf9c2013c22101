//! POSIX asynchronous I/O (`aio_read`, `lio_listio` and so on) on Linux native AIO.
//!
//! Requests on files with `O_DIRECT` are carried out by the kernel. Requests on other files, and on
//! pipes, sockets and terminals, are carried out at once from the page cache, or by worker threads:
//! see [`Hybrid`](aio_safe::kernel::Hybrid). glibc has one worker carry out all requests on a
//! descriptor, one after the other.
//!
//! There are two faces:
//!
//! - This Rust API. Buffers are owned, so it is sound whatever safe code does.
//! - A C library, `libaio_posix.so`, with the functions of `<aio.h>`: a program that was made for
//!   glibc's uses it when it is preloaded. `cargo xtask c-faces` in this crate's repository builds
//!   it, and `--install` installs it.
//!
//! ```
//! use aio_posix::{Aio, Control, Sigevent, Status, SyncMode, aio_suspend};
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("file");
//!
//! let aio = Aio::new()?;
//! let file = std::fs::File::create(path)?;
//! let write = aio.aio_write(&file, Control::new("durable", 0))?;
//! // Waits for the write by itself.
//! let sync = aio.aio_fsync(SyncMode::DataSync, &file, Sigevent::None)?;
//! aio_suspend(&[&sync], None)?;
//! assert_eq!(sync.aio_error(), Status::Succeeded);
//! assert_eq!(write.aio_error(), Status::Succeeded);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A new Rust program is better served by [`aio-safe`](aio_safe): its queues have futures, batches
//! and lanes. This crate is for programs that were designed for POSIX AIO or for `VxWorks`'
//! aioPxLib.
//!
//! # Threads
//!
//! One thread reaps. Worker threads are started when there is work for them, and end when there has
//! been none for five seconds.
//!
//! # Order
//!
//! Writes with `O_APPEND`, and transfers of a stream, are carried out in the order of their
//! submission. If more requests are in flight than there are [slots](Config::depth), those that
//! wait are ordered by their priority first. A sync begins when the writes to its file are over
//! that were submitted before it. Other requests are carried out at the same time, in any order.
//!
//! # Record locks
//!
//! Requests that wait, and those that a worker carries out, have duplicates of the program's
//! descriptors. When such a duplicate is closed, the process loses its record locks on the file
//! (`fcntl` with `F_SETLK`), as it does when any descriptor of the file is closed. Locks of open
//! file descriptions (`F_OFD_SETLK`) stay.

mod aio;
mod aiocb;
mod blocks;
#[cfg(target_pointer_width = "64")]
pub mod c;
mod config;
mod control;
mod engine;
mod fd;
mod foreign;
mod group;
mod list;
mod progress;
mod show;
mod sigevent;
mod signals;
#[cfg(doctest)]
mod variance;

/// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use aio_safe::Errno;

pub use crate::{
    aio::{Aio, SyncMode},
    aiocb::{Aiocb, Cancel, Done, Request, Status, aio_suspend},
    config::{Config, PRIO_DELTA_MAX},
    control::{Control, Refused},
    list::{List, ListError},
    show::Snapshot,
    sigevent::Sigevent,
};
