//! A simulated kernel and disk for programs on Linux native AIO: a disk that lies, from a seed.

mod agenda;
mod block_on;
mod choices;
mod disk;
mod fault;
mod file;
mod kernel;
mod memory;
mod open;
mod sleep;
mod trace;
mod vfs;
mod world;

pub use disk::{Disk, DiskModel, FileSystem};
pub use fault::Fault;
pub use file::File;
pub use kernel::SimKernel;
pub use rustix::fs::OFlags;
pub use sleep::Sleep;
pub use world::{World, WorldBuilder};
