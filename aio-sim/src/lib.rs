//! A simulated kernel and disk for programs on Linux native AIO: a disk that lies, from a seed.

mod agenda;
mod block_on;
mod campaign;
mod choices;
mod disk;
mod fault;
mod file;
mod history;
mod kernel;
mod memory;
mod open;
mod reached;
mod shrink;
mod sleep;
mod trace;
mod vfs;
mod world;

pub use campaign::{Campaign, Failure, Report};
pub use disk::{Disk, DiskModel, FileSystem};
pub use fault::Fault;
pub use file::File;
pub use history::{Begun, Finding, History};
pub use kernel::SimKernel;
pub use reached::Reached;
pub use rustix::fs::OFlags;
pub use sleep::Sleep;
pub use world::{World, WorldBuilder};
