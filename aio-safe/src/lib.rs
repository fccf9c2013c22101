//! Asynchronous disk I/O with Linux native AIO, sound whatever safe code does.
//!
//! Where `io_uring` is switched off - in containers, on RHEL, on Android - native AIO (`io_submit` and
//! its kin) is how Linux does asynchronous disk I/O. A [`Queue`] owns every buffer while the kernel
//! reads or writes it, and hands it back with the result, so a dropped handle, a forgotten one, a panic
//! or a fork can't leave the kernel writing to memory that somebody else uses.
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
//! # What is asynchronous
//!
//! The kernel carries out buffered reads and writes within `io_submit`. What really runs beside the
//! program: reads and writes of files opened with `O_DIRECT` (whose buffers, lengths and offsets must be
//! aligned: [`AlignedBuf`]), on block devices and on file systems with direct I/O; and syncs.
//!
//! # Features
//!
//! - `bytes`: [`Bytes`](https://docs.rs/bytes/1/bytes/struct.Bytes.html) and `BytesMut` as buffers.
//!
//! # Where to look
//!
//! - [`Queue`]: make one, submit, reap, drain, close. [`Lane`]: many reads and writes at the least cost, in a loop.
//!   [`Batch`]: many operations in one system call, with a handle for each.
//! - [`Op`]: reads, writes, syncs and polls. [`Pending`]: the handle of one that was submitted.
//! - [`IoBuf`], [`IoBufMut`]: what can be a buffer.
//! - [`error`]: what can go wrong, and when.
//! - [`kernel`]: running a queue on something else than Linux's system calls.

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

pub use aio_abi::RwFlags;
pub use aio_sys::Errno;
pub use buf::{AlignedBuf, BufResult};
pub use error::{OpError, SubmitError};
pub use lane::Lane;
pub use op::Op;
pub use queue::{Pending, Queue};
