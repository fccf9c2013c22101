//! What a queue and its handles are made of. Everything that is unsafe or that the models prove is
//! here. Nothing in here is public, or knows the public types of the queue, its handles and lanes.
//!
//! The same words are used in all files:
//!
//! | word | meaning |
//! |---|---|
//! | slot | one of the queue's fixed places for a request |
//! | handle | the owner of one operation's result; or a lane |
//! | lane | a handle that claims slots once, and reuses them for one operation after another |
//! | leader | the one thread that takes completions from the kernel: it has the reaper's role |
//! | follower | a thread in line for the role |
//! | heir | a follower that was made the leader, and doesn't know it yet |
//! | turn | one round of the leader: it takes up to [`TURN`] completions |
//! | look | reading the completion ring without waiting |
//! | completer | the thread that stores an operation's result: the leader, or the submitter when the kernel refused the request |
//! | inbox | where a lane gets its completions |
//! | to deliver | to hand completions over to a lane |
//! | the line | the threads and tasks that wait for a slot of a full queue |
//! | foreign code | code that isn't the queue's: wakers, destructors, buffers' methods |
//! | kick | a request that ends another thread's wait in the kernel |
//! | abandoned | the handle was dropped while the operation was in flight |
//! | lost | the operation's buffer stays the kernel's for ever |
//! | shared part | what all handles of a queue share: context, slots, the reaper's role |
//! | hold | a counted reference that keeps the memory of the shared part |

pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod complete;
pub(crate) mod fork;
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
