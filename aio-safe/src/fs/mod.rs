//! Files: direct I/O where it is possible, the alignment that it needs, and whole reads and writes.
//!
//! ```
//! use aio_safe::{Queue, fs::File};
//! # let dir = tempfile::tempdir_in(".")?;
//! # let path = dir.path().join("file");
//!
//! let queue = Queue::new(32)?;
//! let file = File::create(path)?;
//!
//! let mut buffer = file.buffer(5000)?;
//! buffer.try_extend_from_slice(b"hello, disk")?;
//! // A direct write has a length that is a multiple of the block size.
//! buffer.pad_to(file.alignment().length)?;
//! let written = file.write_all_at(&queue, buffer, 0).wait();
//! written.result?;
//! file.sync_data(&queue).wait()?;
//!
//! let read = file.read_exact_at(&queue, written.buffer, 11, 0).wait();
//! read.result?;
//! assert_eq!(&read.buffer[..11], b"hello, disk");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A task writes `.await` instead of `.wait()`. Futures borrow the file and the queue. A task that
//! is spawned owns both, or shares them by [`Arc`](std::sync::Arc) and `Queue::clone`:
//!
//! ```
//! # use aio_safe::{Queue, fs::{Error, File}};
//! async fn sum(queue: Queue, file: File) -> Result<u64, Error> {
//!     let buffer = file.buffer(4096).expect("memory");
//!     let read = file.read_at(&queue, buffer, 0).await;
//!     read.result?;
//!     Ok(read.buffer.iter().map(|&byte| u64::from(byte)).sum())
//! }
//! # fn spawn<F: Future + Send + 'static>(_: F) {}
//! # spawn(sum(Queue::new(1)?, File::open("Cargo.toml")?));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What blocks
//!
//! | call | blocks |
//! |---|---|
//! | [`File::open`], [`File::create`], [`OpenOptions::open`] | yes |
//! | [`File::len`] | only on network file systems and FUSE |
//! | [`File::set_len`], [`File::allocate`] | yes |
//! | the methods of [`File::as_std`] | yes |
//! | [`File::read_at`] and the others that submit, on a direct file | [rarely](Asynchrony) |
//! | the same on a buffered file | until the disk is done |
//! | `wait` of what they return | until the operation is over |
//! | `.await` of it | no |
//! | dropping what they return | no |
//! | dropping a [`File`] | as `close(2)`: hardly ever |
//!
//! [`File::asynchrony`] tells whether a file's transfers are asynchronous, and why.
//!
//! # Short transfers and errors
//!
//! [`File::read_exact_at`] and [`File::write_all_at`] continue short transfers. With direct I/O a
//! short transfer may end at an offset that isn't aligned. They go on at the aligned offset below
//! it, so some bytes are transferred twice. If that brings nothing new, it is the end of the file.
//!
//! All operations here are submitted again after EINTR. If the queue is full, they wait for a slot.
//! If the kernel has no room (EAGAIN), they reap and try again, up to 1000 times. Between two
//! attempts, a thread waits for completions for at most a millisecond, and a task lets other tasks
//! run. The buffer comes back in every outcome.
//!
//! # Dropping
//!
//! Dropping the future of a write doesn't undo the write. **A dropped write may still land**, even
//! after a later write to the same blocks. [`Queue::drain`](crate::Queue::drain) is the barrier.
//! See [`Pending`](crate::Pending#dropping).
//!
//! # Any way of submitting
//!
//! The operations above are submitted one by one. [`File::read_op`] and [`File::write_op`] make
//! operations for a [batch](crate::Queue::batch) or a [lane](crate::Lane). They are checked for
//! alignment before they reach the kernel. So are [`File::read_vectored_op`] and
//! [`File::write_vectored_op`].

mod alignment;
mod asynchrony;
mod device;
mod error;
mod file;
mod nowait;
mod ops;
mod options;
mod probe;
mod submission;
mod syncing;
mod transfer;
mod vectored;

pub use alignment::{Alignment, AlignmentSource, Misaligned, Misalignment};
pub use asynchrony::{Asynchrony, Storage};
pub use error::Error;
pub use file::File;
pub use options::{Direct, OpenOptions};
pub use syncing::Syncing;
pub use transfer::Transferring;
pub use vectored::VectoredTransferring;
