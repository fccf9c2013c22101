//! The engine: what the models prove, and everything that touches memory in flight. It isn't
//! public, and it names none of the public types of the queue, its handles and lanes.
//!
//! The glossary in the repository's `ARCHITECTURE.md` explains the words that all files use: slot,
//! leader, follower, heir, turn, completer, inbox, line, gate, kick, hold, foreign code, and the
//! others.

pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod complete;
pub(crate) mod counters;
pub(crate) mod driver;
pub(crate) mod gate;
pub(crate) mod glance;
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
pub(crate) mod trace;
pub(crate) mod wait;

use std::{any::Any, mem};

/// How many completions one turn takes.
pub(crate) const TURN: usize = 64;

/// Keeps the first of several panics, and leaks the others: a panic's payload may panic in its own
/// destructor.
pub(crate) fn keep_first(first: &mut Option<Box<dyn Any + Send>>, panic: Box<dyn Any + Send>) {
    match first {
        None => *first = Some(panic),
        Some(_) => mem::forget(panic),
    }
}
