//! One word that counts what is in flight, and lets a closing queue wait until nobody is inside the
//! kernel on its behalf.

use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// No more submissions.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Somebody waits until no thread is inside.
const WATCHED: usize = CLOSED >> 1;
/// The width of each of the two counters.
const FIELD: u32 = (usize::BITS - 2) / 2;
/// One thread inside `io_submit` or `io_cancel`.
const INSIDE: usize = 1 << FIELD;
const IN_FLIGHT: usize = INSIDE - 1;

/// The deepest queue that can be counted. Threads inside don't outgrow their counter either: each
/// has at least one slot.
pub(crate) const MAX_DEPTH: u32 = if usize::BITS < 64 {
    (1 << FIELD) - 1
} else {
    4_194_304
};

/// From the top: closed, watched, how many threads are inside, how many requests are in flight.
/// A thread counts its requests before it goes in, and those that weren't accepted off when it
/// comes out: while nobody is inside, the second counter is exact.
pub(crate) struct Gate(AtomicUsize);

/// What a gate says at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) inside: usize,
    pub(crate) in_flight: usize,
}

impl Count {
    /// Nothing is in flight, and nobody is about to change that.
    pub(crate) fn is_idle(self) -> bool {
        self.inside == 0 && self.in_flight == 0
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Goes in with `n` requests. False when the queue is closed: then nothing was counted, and
    /// [`exit`](Self::exit) tells the same as after a success.
    #[inline]
    pub(crate) fn enter(&self, n: usize) -> bool {
        self.0.fetch_add(INSIDE + n, Relaxed) & CLOSED == 0
    }

    /// Comes out, with `n` requests that the kernel did not accept. Returns whether somebody waits for
    /// that.
    #[inline]
    #[must_use]
    pub(crate) fn exit(&self, n: usize) -> bool {
        let before = self.0.fetch_sub(INSIDE + n, Release);
        before & WATCHED != 0 && count(before).inside == 1
    }

    /// Counts completions off. Returns what is left.
    #[inline]
    pub(crate) fn completed(&self, n: usize) {
        self.0.fetch_sub(n, Release);
    }

    pub(crate) fn count(&self) -> Count {
        count(self.0.load(Acquire))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.load(Relaxed) & CLOSED != 0
    }

    /// Lets nobody in from now on. False when it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Relaxed) & CLOSED == 0
    }

    /// Makes the last thread to come out say so.
    pub(crate) fn watch(&self) {
        self.0.fetch_or(WATCHED, Relaxed);
    }

    pub(crate) fn unwatch(&self) {
        self.0.fetch_and(!WATCHED, Relaxed);
    }
}

fn count(word: usize) -> Count {
    Count {
        inside: (word & !CLOSED & !WATCHED) >> FIELD,
        in_flight: word & IN_FLIGHT,
    }
}
