//! Asynchronous disk I/O with Linux native AIO, sound whatever safe code does.
//!
//! A [`Queue`] owns each buffer while the kernel reads or writes it, and hands it back with the
//! result. So a dropped handle, a forgotten one, a panic or a fork can't leave the kernel writing
//! to memory that somebody else uses.
//!
//! ```
//! use aio_safe::{AlignedBuf, Op, Queue};
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("file");
//! # std::fs::write(&path, vec![b'x'; 10000])?;
//!
//! let queue = Queue::new(32)?;
//! let file = std::fs::File::open(path)?;
//!
//! let read = queue.submit(&file, Op::read(AlignedBuf::zeroed(4096, 4096)?, 0))?;
//! // ... other work, while the disk does its own ...
//! let (n, buffer) = read.wait().into_result()?;
//! assert_eq!((n, buffer[0]), (4096, b'x'));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # When to use it
//!
//! - **Where `io_uring` is switched off**: in containers (seccomp), on RHEL, on Android, in
//!   hardened clouds. Native AIO (`io_submit` and its kin) is what is left there, on every kernel.
//! - **For files opened with `O_DIRECT`**, on block devices and on file systems with direct I/O,
//!   and for syncs. These run beside the program. Their buffers, lengths and offsets must be
//!   aligned: [`AlignedBuf`].
//! - **Not for buffered files**: the kernel carries out their reads and writes within `io_submit`,
//!   so the submitter waits for the disk. Nor for pipes and sockets, except to [poll](Op::poll)
//!   them.
//!
//! # Which way to submit
//!
//! | what you have | what to use | system calls | results |
//! |---|---|---|---|
//! | one operation | [`Queue::submit`] | one each | a [`Pending`] |
//! | several operations, each awaited by itself | [`Queue::batch`] | one for all | a [`Pending`] each |
//! | many reads and writes in a loop, at the least cost | [`Queue::lane`] | one for all | taken as they come, each with a value of yours |
//!
//! # Which way to wait
//!
//! | who waits | what to use |
//! |---|---|
//! | a thread, for one operation | [`Pending::wait`], [`wait_timeout`](Pending::wait_timeout) |
//! | a thread, for whatever comes next | [`Lane::wait_ready`] |
//! | a loop of your own | [`Queue::reap`], then [`Pending::try_take`] or [`Lane::try_take`] |
//! | a task of any executor | `.await` a [`Pending`], or [`Lane::next`] |
//! | a thread or task, for a slot of a full queue | [`Queue::reserve`] |
//!
//! **A task needs somebody who reaps.** A future takes the completions that are there when it is
//! polled, but nothing polls it when one comes. So let one thread loop in [`Queue::reaper`]'s
//! [`reap`](queue::Reaper::reap): it takes the completions and wakes the tasks. Threads that wait
//! reap by themselves.
//!
//! # Features
//!
//! - `bytes`: [`Bytes`](https://docs.rs/bytes/1/bytes/struct.Bytes.html) and `BytesMut` as buffers.
//!
//! # The modules
//!
//! - [`queue`]: the queue, batches, handles, waiting for a slot. [`lane`]: many operations in a
//!   loop.
//! - [`op`]: the kinds of operations. [`buf`]: what can be a buffer.
//! - [`error`]: what can go wrong, and when.
//! - [`kernel`]: running a queue on something else than Linux's system calls, to inject faults say.
//!
//! The layers below are crates of their own: [`aio_sys`], the system calls, and [`aio_abi`], the
//! kernel's structures.
//!
//! # Versions
//!
//! Rust 1.85 or later: raising that is a minor version, never a patch. Linux 4.18 or later, tested
//! from 5.10 on; what came later says so on its page. Features are found by probing, not by the
//! kernel's version.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!("aio-safe is for Linux: native AIO (io_submit and its kin) is a Linux interface");

pub mod buf;
mod engine;
pub mod error;
pub mod kernel;
pub mod lane;
#[cfg(all(loom, test))]
mod models;
#[cfg(doctest)]
mod must_not_compile;
pub mod op;
pub mod queue;
mod sync;
#[cfg(doctest)]
mod variance;

/// The page of the crate in a registry: its code is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use aio_abi::RwFlags;
pub use aio_sys::Errno;
pub use buf::{AlignedBuf, BufResult};
pub use error::{OpError, SubmitError};
pub use lane::Lane;
pub use op::Op;
pub use queue::{Pending, Queue};
