//! What the queue's handles stand on: everything that is unsafe or proven by models, and that no
//! user names.

pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod complete;
pub(crate) mod fork;
pub(crate) mod gate;
pub(crate) mod inbox;
pub(crate) mod jobs;
pub(crate) mod leader;
pub(crate) mod line;
#[cfg(aio_asan)]
pub(crate) mod poison;
pub(crate) mod reap;
pub(crate) mod shared;
pub(crate) mod slab;
pub(crate) mod slot;
pub(crate) mod submit;
