//! What the queue's handles stand on: everything that is unsafe or proven by models, and that no
//! user names. Nothing in here names a handle.

pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod complete;
pub(crate) mod fork;
pub(crate) mod gate;
pub(crate) mod inbox;
pub(crate) mod jobs;
pub(crate) mod kick;
pub(crate) mod leader;
pub(crate) mod line;
pub(crate) mod payload;
pub(crate) mod reap;
pub(crate) mod shared;
pub(crate) mod slab;
pub(crate) mod slot;
pub(crate) mod submit;
pub(crate) mod wait;

use std::{any::Any, mem};

/// How many completions one turn of the reaper handles.
pub(crate) const TURN: usize = 64;

/// Keeps the first of several panics. The others are leaked: what they carry may panic in its own
/// destructor.
pub(crate) fn keep_first(first: &mut Option<Box<dyn Any + Send>>, panic: Box<dyn Any + Send>) {
    match first {
        None => *first = Some(panic),
        Some(_) => mem::forget(panic),
    }
}
