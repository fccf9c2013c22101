//! Counts what is in flight, and lets a closing queue wait until nobody is inside the kernel on its
//! behalf.

use crate::{
    engine::TURN,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The width of the count of submitted requests, at the top, where it may overflow.
const FIELD: u32 = usize::BITS / 2 - if usize::BITS < 64 { 1 } else { 0 };
/// One request.
const SUBMITTED: usize = 1 << (usize::BITS - FIELD);
/// No more submissions.
const CLOSED: usize = SUBMITTED >> 1;
/// Somebody waits until no thread is inside.
const WATCHED: usize = CLOSED >> 1;
/// One thread inside `io_submit` or `io_cancel`.
const INSIDE: usize = 1;

/// The deepest queue that can be counted. Threads inside don't outgrow their count either: each
/// has at least one slot.
pub(crate) const MAX_DEPTH: u32 = if usize::BITS < 64 {
    (1 << FIELD) - 1 - TURN as u32
} else {
    4_194_304
};

// The leader counts a turn's completions off when it has handed them all out: by then others may have
// taken their results and used their slots again.
const _: () = assert!(MAX_DEPTH as usize + TURN < 1 << FIELD);

/// What is in flight is what was submitted and not yet reaped. A thread counts its requests before it
/// goes in, and those that weren't accepted off when it comes out: while nobody is inside, that is
/// exact.
pub(crate) struct Gate {
    /// From the top: how many requests were submitted, closed, watched, how many threads are inside.
    word: AtomicUsize,
    /// How many requests were completed. Only the leader writes it, which takes no exchange.
    reaped: AtomicUsize,
}

/// What a gate says at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) inside: usize,
    /// Exact to the leader, while nobody is inside; to others it may be more than there are.
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
        Self {
            word: AtomicUsize::new(0),
            reaped: AtomicUsize::new(0),
        }
    }

    /// Goes in with `n` requests. False when the queue is closed: then none of them may be submitted,
    /// and it comes [out](Self::exit) with all of them.
    #[inline]
    pub(crate) fn enter(&self, n: usize) -> bool {
        self.word.fetch_add(INSIDE + n * SUBMITTED, Relaxed) & CLOSED == 0
    }

    /// Comes out, with `n` requests that the kernel did not accept. Returns whether somebody waits for
    /// that.
    #[inline]
    #[must_use]
    pub(crate) fn exit(&self, n: usize) -> bool {
        let before = self.word.fetch_sub(INSIDE + n * SUBMITTED, Release);
        // MECHANISM: telling those who watch the gate
        // `before & WATCHED != 0` becomes `before & WATCHED == WATCHED + 1`
        before & WATCHED != 0 && inside(before) == 1
    }

    /// Counts completions off. The caller leads.
    #[inline]
    pub(crate) fn completed(&self, n: usize) {
        let reaped = self.reaped.load(Relaxed);
        self.reaped.store(reaped.wrapping_add(n), Release);
    }

    pub(crate) fn count(&self) -> Count {
        // In this order, so that nothing is taken off that wasn't counted.
        let reaped = self.reaped.load(Acquire);
        count(self.word.load(Acquire), reaped)
    }

    /// As [`count`](Self::count), for the leader when it has counted completions off and somebody may
    /// [`watch`](Self::watch).
    ///
    /// They are in different words, so a load could miss that the last thread came out while who watches
    /// misses what was completed. With an exchange one of the two is first, and the other one sees it.
    pub(crate) fn count_at_last(&self) -> Count {
        // MECHANISM: the exchange in the leader's look at the gate
        // `fetch_add(0, Release)` becomes `load(Acquire)`
        let word = self.word.fetch_add(0, Release);
        count(word, self.reaped.load(Relaxed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Relaxed) & CLOSED != 0
    }

    /// Lets nobody in from now on. False when it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.word.fetch_or(CLOSED, Relaxed) & CLOSED == 0
    }

    /// Makes the last thread to come out say so. To be followed by a look at the [`count`](Self::count).
    pub(crate) fn watch(&self) {
        self.word.fetch_or(WATCHED, Acquire);
    }

    pub(crate) fn unwatch(&self) {
        self.word.fetch_and(!WATCHED, Relaxed);
    }
}

fn count(word: usize, reaped: usize) -> Count {
    Count {
        inside: inside(word),
        in_flight: (word / SUBMITTED).wrapping_sub(reaped) % (1 << FIELD),
    }
}

fn inside(word: usize) -> usize {
    word % WATCHED
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_outlives_an_overflow() {
        let gate = Gate::new();
        let most = MAX_DEPTH as usize;
        for _ in 0..(1_usize << FIELD) / most + 2 {
            assert!(gate.enter(most));
            assert!(!gate.exit(1));
            assert_eq!(gate.count().in_flight, most - 1);
            gate.completed(most - 2);
            assert_eq!((gate.count().inside, gate.count().in_flight), (0, 1));
            gate.completed(1);
            assert!(gate.count().is_idle());
        }
        gate.close();
        gate.watch();
        assert!(!gate.enter(3));
        assert!(gate.exit(3) && gate.is_closed() && gate.count().is_idle());
    }

    #[test]
    fn slots_used_again_before_they_are_counted_off_fit() {
        let gate = Gate::new();
        for n in [MAX_DEPTH as usize, TURN] {
            assert!(gate.enter(n));
            assert!(!gate.exit(0));
        }
        assert_eq!(gate.count().in_flight, MAX_DEPTH as usize + TURN);
        gate.completed(TURN);
        assert_eq!(gate.count_at_last().in_flight, MAX_DEPTH as usize);
    }
}
