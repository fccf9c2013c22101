//! Asynchronous disk I/O with Linux native AIO, sound whatever safe code does.
//!
//! A [`Queue`] owns each buffer while the kernel reads or writes it, and hands it back with the
//! result. So a dropped handle, a forgotten one, a panic or a fork can't leave the kernel writing
//! to memory that is used for something else.
//!
//! ```
//! use aio_safe::{AlignedBuf, Op, Queue};
//! use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt};
//!
//! let queue = Queue::new(32)?;
//! let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open("Cargo.toml")?;
//!
//! let read = queue.submit(&file, Op::read(AlignedBuf::zeroed(4096, 4096)?, 0))?;
//! // The program can do other work while the disk reads.
//! let (n, buffer) = read.wait().into_result()?;
//! println!("{n} bytes: {}", String::from_utf8_lossy(&buffer[..n]));
//! # assert!(buffer.starts_with(b"[package]"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # When to use it
//!
//! - **Where `io_uring` is switched off**: in containers (seccomp), on RHEL, on Android, in
//!   hardened clouds. Native AIO (`io_submit` and the other calls) is usually still there.
//! - **For files opened with `O_DIRECT`**, on block devices and on file systems with direct I/O,
//!   and for syncs. The kernel carries these out while the program runs on. Direct I/O needs
//!   aligned buffers, lengths and offsets: see [`AlignedBuf`].
//! - **Not for buffered files**: the kernel carries out their reads and writes within `io_submit`,
//!   so the submitter waits for the disk. Not for pipes and sockets either, but they can be
//!   [polled](Op::poll).
//!
//! # Which way to submit
//!
//! | what you have | what to use | system calls | results |
//! |---|---|---|---|
//! | one operation | [`Queue::submit`] | one for each | a [`Pending`] |
//! | several, each awaited by itself | [`Queue::batch`] | one for all | a [`Pending`] for each |
//! | many in a loop, at the least cost | [`Queue::lane`] | one for all | with your values |
//!
//! # Which way to wait
//!
//! | what waits | what to use |
//! |---|---|
//! | a thread, for one operation | [`Pending::wait`], [`wait_timeout`](Pending::wait_timeout) |
//! | a thread, for any of many [`Pending`]s | [`Queue::reap`], then [`Pending::try_take`] on each |
//! | a thread, for the next results of a lane | [`Lane::wait`], [`Lane::wait_ready`] |
//! | your event loop | [`Queue::reap`], then [`Pending::try_take`] or [`Lane::try_take`] |
//! | a task of any executor | `.await` a [`Pending`], [`Lane::next`], [`Lane::poll_ready`] |
//! | a thread or task, for a slot of a full queue | [`Queue::reserve`] |
//! | a thread, until nothing is in flight | [`Queue::drain`] |
//!
//! **Tasks need a thread that reaps.** A completion by itself wakes no task. So let one thread loop
//! in [`Reaper::reap`](queue::Reaper::reap), which takes the completions and wakes the tasks:
//!
//! ```
//! # use aio_safe::{Queue, error::ReapError};
//! # let queue = Queue::new(1)?;
//! let reaper = queue.reaper();
//! let thread = std::thread::spawn(move || {
//!     while let Ok(_) | Err(ReapError::Interrupted) = reaper.reap(1, None) {}
//! });
//! # drop(queue);
//! # thread.join().unwrap();
//! # Ok::<_, aio_safe::error::SetupError>(())
//! ```
//!
//! The thread ends when the queue is closed. Threads that wait reap by themselves.
//!
//! # Features
//!
//! - `bytes`: [`Bytes`](https://docs.rs/bytes/1/bytes/struct.Bytes.html) and `BytesMut` as buffers.
//!
//! # The modules
//!
//! - [`queue`]: the queue, batches, handles, waiting for a slot. [`lane`]: many operations in a
//!   loop. [`fs`]: files with direct I/O, and whole reads and writes.
//! - [`op`]: the kinds of operations. [`buf`]: what can be a buffer.
//! - [`error`]: what can go wrong, and when.
//! - [`kernel`]: running a queue on a kernel of your own, for example to inject faults.
//!
//! The layers below are crates of their own: [`aio_sys`] makes the system calls, without libc on
//! most targets. [`aio_abi`] has the kernel's structures.
//!
//! # Versions
//!
//! Rust 1.85 or later: raising that is a minor version, never a patch. Linux 4.18 or later, tested
//! from 5.10 on. Where something needs a later kernel, its page says so. Features are found by
//! probing, not by the kernel's version.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!("aio-safe is for Linux: native AIO (io_submit and so on) is a Linux interface");

pub mod buf;
mod engine;
pub mod error;
pub mod fs;
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

/// Compiles and runs the code of the README.
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
