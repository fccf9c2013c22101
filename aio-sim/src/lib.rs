//! A simulated kernel and disk for programs on Linux native AIO: a disk that lies, from a seed.
//!
//! A storage engine is as good as the faults that it was tested with. Here its own code, with
//! [`aio_safe`]'s queues, lanes and futures, runs on a simulated kernel. Everything random comes
//! from a seed, and time is virtual: thousands of runs take a second, and a run that fails can be
//! run again.
//!
//! ```
//! use aio_safe::{AlignedBuf, Op, Queue};
//! use aio_sim::{DiskModel, OFlags, World};
//!
//! let world = World::new(7);
//! let disk = world.disk(DiskModel::ext4());
//! let queue = Queue::with_kernel(32, world.kernel())?;
//! let file = disk.open("journal", OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)?;
//!
//! let block = AlignedBuf::zeroed(4096, 512)?;
//! queue.submit(&file, Op::write(block, 0))?.wait().result?;
//! disk.cut_power();
//! disk.power_on();
//! // The write wasn't synced: the file, its length and its bytes may be there or not.
//! match disk.contents("journal") {
//!     Ok(bytes) => println!("{} bytes are left", bytes.len()),
//!     Err(errno) => println!("{errno}"),
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The [guide] has three worked examples.
//!
//! # What there is
//!
//! - [`World`]: time, disks and a kernel, made from a seed. [`WorldBuilder`] says which [faults]
//!   happen, and how often. A [`Script`] makes one happen at a certain time.
//! - [`Disk`]: files by name, and the power, which can be cut. [`DiskModel`] says which file system
//!   it has.
//! - [`File`]: goes where a queue takes a file.
//! - [`Campaign`]: one test with many seeds, and the simplest run that fails.
//! - [`History`] and [`FileHistory`]: what a program has promised, and whether it is there after a
//!   crash.
//! - [`Reached`]: which faults happened in which states, so that a test that passes means
//!   something.
//!
//! [faults]: Fault
//!
//! # How true it is
//!
//! The cases with which `aio-test-harness` checks real kernels also run on the simulated one. The
//! project's `docs/parity.md` lists which behaviours it is shown to share with Linux 5.10 and with
//! the newest kernel, and each difference with its reason.
//!
//! # A crash of the program alone
//!
//! Drop the program's objects: its futures, its queue, its files. What is in flight is carried out,
//! and the page cache stays, as when a process is killed. To crash it in the middle of blocking
//! code, [cut the power](Disk::cut_power_after): from then on everything fails with EIO.
//!
//! # Determinism
//!
//! The same seed and the same calls in the same order give the same run, and the same
//! [trace](World::trace), on every architecture. This holds for one version of this crate and of
//! `fastrand`, which draws the numbers. A test sees to the rest:
//!
//! - It uses one thread. A queue starts a thread when a future waits, unless it was built with
//!   [`Driver::Caller`](aio_safe::queue::Driver::Caller). [`World::block_on`] drives such queues.
//!   Threads that [`wait`](aio_safe::Pending::wait) need nothing. With a reactor as driver,
//!   something has to let time pass, such as a task that calls [`World::pass`].
//! - It takes everything random from the world: [`World::draw`].
//! - It doesn't look at the time of day. [`World::sleep`] and [`World::now`] are virtual. Timeouts
//!   of [`aio_safe`]'s methods are of real time, and a wait with a timeout may last longer here
//!   than it says.
//!
//! With several threads, programs run as on a real kernel, and no memory is at risk. But the order
//! in which threads call the kernel isn't drawn from the seed, and everything that is drawn later
//! depends on it. If one thread waits with a timeout, virtual time goes on while another one
//! computes.
//!
//! # What isn't simulated
//!
//! - Pipes, sockets and devices. A poll of a real one asks the real kernel whether it is ready, so
//!   the program sees to its determinism. Reads and writes of them are EBADF, and syncs EINVAL. Any
//!   request on a real file of a disk is EBADF.
//! - Signals. [`Fault::InterruptedWait`] stands for one.
//! - Memory that isn't mapped. The program crashes where the real kernel says EFAULT.
//! - Hard and symbolic links, `mmap`, locks, `fallocate`.
//! - [`aio_safe::fs::File`], which opens real files. Use a queue's
//!   [`submit`](aio_safe::Queue::submit), batches and lanes.
//! - More than 1 MiB of a file that is volatile, or more than 4096 changes of names and lengths.
//!   Older ones become durable, as a real kernel writes them back.

mod agenda;
mod block_on;
mod campaign;
mod choices;
mod disk;
mod fault;
mod file;
pub mod golden;
pub mod guide;
mod history;
mod kernel;
mod memory;
mod open;
mod reached;
mod script;
mod shrink;
mod sleep;
mod trace;
mod vfs;
mod world;

pub use campaign::{Campaign, Failure, Report};
pub use disk::{Disk, DiskModel, FileSystem};
pub use fault::Fault;
pub use file::File;
pub use history::{Begun, FileFinding, FileHistory, Finding, History};
pub use kernel::SimKernel;
pub use reached::Reached;
pub use rustix::fs::OFlags;
pub use script::Script;
pub use sleep::Sleep;
pub use world::{World, WorldBuilder};

/// Compiles and runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
