//! Asynchronous disk I/O with Linux native AIO, sound whatever safe code does.
//!
//! A [`Queue`] owns each buffer while the kernel reads or writes it, and hands it back with the
//! result. So a dropped handle, a forgotten one, a panic or a fork can't leave the kernel writing
//! to memory that is used for something else.
//!
//! ```
//! use aio_safe::{Queue, fs::File};
//!
//! let queue = Queue::new(32)?;
//! let file = File::open("Cargo.toml")?; // Direct I/O if the file can have it.
//!
//! let read = file.read_at(&queue, file.buffer(4096)?, 0);
//! // The program can do other work while the disk reads.
//! let (n, buffer) = read.wait().into_result()?; // In a task: `read.await`.
//! println!("{n} bytes: {}", String::from_utf8_lossy(&buffer));
//! # assert!(buffer.starts_with(b"[package]"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # When to use it
//!
//! - **This crate** is for direct I/O (`O_DIRECT`) on block devices, ext4 and XFS, and for syncs.
//!   The kernel carries these out while the program runs on. Other file systems are listed
//!   [here](fs::Asynchrony).
//! - **`io_uring`** does more: buffered files, sockets, chains of operations. On a disk, direct I/O
//!   takes about the same time with both. But `io_uring` is often switched off: in containers
//!   (seccomp), on RHEL, on Android and in hardened clouds. Native AIO works there.
//! - **Threads** (a pool, `tokio::fs`) work with every file. Direct I/O takes a thread for each
//!   operation in flight, and more CPU time: on a disk nearly twice as much with a plain pool, and
//!   nine times as much with `tokio::fs` (`PERFORMANCE.md` in the repository).
//!
//! **Buffered files, pipes and sockets** want a [hybrid](queue::Builder::hybrid) queue: worker
//! threads carry out what would block. Otherwise the kernel carries out their reads and writes
//! within `io_submit`, so the submitter waits. [`File::open`](fs::File::open) opens a file buffered
//! if it can't have direct I/O, and [`fs::File::asynchrony`] tells. With
//! [`Direct::On`](fs::Direct::On) opening such a file is an error. Polls are
//! [native](Op::poll).
//!
//! **Where native AIO is switched off**, a hybrid queue works too, by threads alone.
//!
//! # Which way to submit
//!
//! | what you have | what to use | system calls | results |
//! |---|---|---|---|
//! | files, read or written in any size | [`fs::File`] | one for each | a future for each |
//! | one operation | [`Queue::submit`] | one for each | a [`Pending`] |
//! | several, each awaited by itself | [`Queue::batch`] | one for all | a [`Pending`] for each |
//! | many in a loop, at the least cost | [`Queue::lane`] | one for all | as they come |
//!
//! Each result comes with its buffer.
//!
//! # Which way to wait
//!
//! | what waits | what to use |
//! |---|---|
//! | a thread, for one operation | `wait` of a [`Pending`] or of a file's future |
//! | a thread, for some or all of a list | [`Queue::wait_for_some`] |
//! | a thread, for the next results of a lane | [`Lane::wait`], [`Lane::wait_ready`] |
//! | a task of any executor | `.await` a [`Pending`] or a file's future, [`Lane::next`] |
//! | an event loop (`epoll`, mio) | [`EventQueue`](queue::EventQueue), which has an eventfd |
//! | a loop that reaps by itself | [`Queue::reap`], then [`Pending::try_take`] |
//! | nothing: a function is called | [`Pending::then`] |
//! | nothing: a pool's thread calls a function | [`CompletionPool`](queue::CompletionPool) |
//! | nothing: a signal is sent | [`Pending::signal`] |
//! | a thread or task, for a slot of a full queue | [`Queue::reserve`] |
//! | a thread, until nothing is in flight | [`Queue::drain`] |
//!
//! # Dropping a future
//!
//! Dropping a handle or a future abandons its operation. The kernel carries the operation out, the
//! queue keeps its buffer until then, and the result is lost. So `select!`, timeouts and aborted
//! tasks are safe for memory, but they undo nothing. **A dropped write may still land**, even after
//! a later write to the same blocks. [`Queue::drain`], which blocks, is the barrier: when it
//! returns, every abandoned operation is over. See [`Pending`](Pending#dropping).
//!
//! # What wakes tasks
//!
//! A task is woken when something reaps its completion. What does that is the queue's
//! [driver](queue::Driver). **By default it is a thread**, which is started when a future has to
//! wait for the first time. So `.await` works in every executor. With the features `tokio` and
//! `async-io`, the runtime's own reactor can drive the queue, without a thread:
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use aio_safe::{Queue, fs::File, queue::Driver};
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! runtime.block_on(async {
//!     let queue = Queue::builder(32).driver(Driver::Tokio).build()?;
//!     let file = File::open("Cargo.toml")?;
//!     let (n, buffer) = file.read_at(&queue, file.buffer(4096)?, 0).await.into_result()?;
//!     assert_eq!(n, buffer.len());
//!     Ok(())
//! })
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! A program that reaps by itself says so with [`Driver::Caller`](queue::Driver::Caller). Then
//! there is no thread. A thread that waits reaps by itself, and needs no driver.
//!
//! Dropping the last [`Queue`] [blocks](Queue#dropping). A long-running task uses
//! [`Queue::close_in_thread`] instead.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `async-io` | [`Driver::AsyncIo`](queue::Driver): the reactor of async-io, which smol uses |
//! | `bytes` | `Bytes` and `BytesMut` of the crate bytes as buffers |
//! | `stream` | [`Lane`] as a `Stream` of futures-core |
//! | `tokio` | [`Driver::Tokio`](queue::Driver): the reactor of a tokio runtime |
//! | `tracing` | [events](queue#events) of submissions, refusals, back-pressure and completions |
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
mod fork;
pub mod fs;
mod kept;
pub mod kernel;
pub mod lane;
#[cfg(all(loom, test))]
mod models;
#[cfg(doctest)]
mod must_not_compile;
pub mod op;
pub mod queue;
#[cfg(not(loom))]
mod signals;
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
