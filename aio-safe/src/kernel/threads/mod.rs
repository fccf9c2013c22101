//! The interface of native AIO, carried out by threads.
//!
//! | module | what is there |
//! |---|---|
//! | `kernel`, `master` | the interface: contexts by their handles |
//! | `context`, `submit` | a context: takes requests, and hands out their events |
//! | `ring`, `memory` | the ring with a context's events |
//! | `pool`, `job`, `order`, `workers` | what is done when, and by which thread |
//! | `device` | what carries requests out |
//! | `files` | the device: files, with blocking calls |

pub(crate) mod context;
pub(crate) mod device;
#[cfg(not(loom))]
pub(crate) mod files;
pub(crate) mod job;
#[cfg(not(loom))]
pub(crate) mod kernel;
pub(crate) mod master;
#[cfg_attr(loom, path = "modelled_memory.rs")]
mod memory;
pub(crate) mod order;
pub(crate) mod pool;
mod ring;
pub(super) mod submit;
mod thread;
pub(crate) mod workers;

#[cfg(not(loom))]
pub use kernel::Threads;
