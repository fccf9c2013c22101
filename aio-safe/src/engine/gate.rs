//! The gate: threads pass through it to submit, cancel or [kick](crate::engine::kick). It counts
//! the threads inside and the requests in flight.
//!
//! Closing a queue begins with closing the gate. When no thread is inside any more, no operation is
//! submitted or cancelled, and the number of requests in flight is exact.

use crate::{
    engine::TURN,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// How many bits the count of submitted requests has. It is at the top of the word, and may
/// overflow.
const FIELD: u32 = usize::BITS / 2 - if usize::BITS < 64 { 1 } else { 0 };
/// One submitted request.
const SUBMITTED: usize = 1 << (usize::BITS - FIELD);
/// The queue is closed: no operation may be submitted.
const CLOSED: usize = SUBMITTED >> 1;
/// A thread waits until no thread is inside.
const WATCHED: usize = CLOSED >> 1;
/// One thread inside: it may call `io_submit` or `io_cancel`.
const INSIDE: usize = 1;

/// The largest depth of a queue. It is limited by what the word can count, and by what `io_setup`
/// accepts. The count of threads inside doesn't overflow either: each of these threads has a slot,
/// or has just handed one on, or is the one that closes the queue.
pub(crate) const MAX_DEPTH: u32 = if usize::BITS < 64 {
    (1 << FIELD) - 1 - TURN as u32
} else {
    4_194_304
};

// The leader counts a turn's completions at the end of the turn. By then other threads may have
// taken their results and used their slots again. So the word may count up to TURN more than the
// depth.
const _: () = assert!(MAX_DEPTH as usize + TURN < 1 << FIELD);

/// Counts requests and threads. Requests in flight are those submitted minus those reaped. A thread
/// adds its requests before it submits them, and subtracts those that weren't accepted when it
/// leaves. So the number is exact while no thread is inside.
pub(crate) struct Gate {
    /// From the top: the number of submitted requests, [`CLOSED`], [`WATCHED`], the number of
    /// threads inside.
    word: AtomicUsize,
    /// How many requests were completed. Only the leader writes it, so it needs no exchange.
    reaped: AtomicUsize,
}

/// The counts of a gate at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) inside: usize,
    /// Exact for the leader while no thread is inside. For others it may be too large.
    pub(crate) in_flight: usize,
}

impl Count {
    /// Nothing is in flight, and no thread is inside to submit anything.
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

    /// Enters with `n` requests. Returns false if the gate is closed: then the caller submits
    /// nothing, and [leaves](Self::exit) with all `n`.
    #[inline]
    pub(crate) fn enter(&self, n: usize) -> bool {
        self.word.fetch_add(INSIDE + n * SUBMITTED, Relaxed) & CLOSED == 0
    }

    /// Enters to submit a [kick](crate::engine::kick), which isn't counted as a request. Also
    /// enters a closed gate.
    ///
    /// Acquire: a thread that enters after the leader's last [look](Self::count_at_last) before it
    /// destroys the context sees that the context is dead.
    pub(crate) fn enter_to_kick(&self) {
        self.word.fetch_add(INSIDE, Acquire);
    }

    /// Leaves, with `n` requests that the kernel didn't accept. Returns whether the threads that
    /// [watch](Self::watch) have to be told that no thread is inside any more.
    #[inline]
    #[must_use]
    pub(crate) fn exit(&self, n: usize) -> bool {
        let before = self.word.fetch_sub(INSIDE + n * SUBMITTED, Release);
        // MECHANISM: telling those who watch the gate
        // `before & WATCHED != 0` becomes `before & WATCHED == WATCHED + 1`
        before & WATCHED != 0 && inside(before) == 1
    }

    /// Counts `n` completions. The caller leads.
    #[inline]
    pub(crate) fn completed(&self, n: usize) {
        let reaped = self.reaped.load(Relaxed);
        self.reaped.store(reaped.wrapping_add(n), Release);
    }

    pub(crate) fn count(&self) -> Count {
        // `reaped` first: what it counts was submitted before, so `word` counts it too.
        let reaped = self.reaped.load(Acquire);
        count(self.word.load(Acquire), reaped)
    }

    /// How many requests were submitted and how many were completed, since the queue was made. Both
    /// may overflow.
    pub(crate) fn so_far(&self) -> (usize, usize) {
        // `reaped` first, as in `count`. Both numbers are made of the same `reaped`: with another
        // one, the completions between two loads would be missing in the first number. Nothing but
        // the numbers is looked at, so the order of the two loads is enough.
        let reaped = self.reaped.load(Acquire);
        let in_flight = count(self.word.load(Relaxed), reaped).in_flight;
        (reaped.wrapping_add(in_flight), reaped)
    }

    /// As [`count`](Self::count), for a leader that has just counted completions while another
    /// thread may [`watch`](Self::watch).
    ///
    /// Three threads may make the queue idle together: the leader, the last thread that leaves, and
    /// one that begins to watch. One of them has to notice. Each of them does an exchange on
    /// `word`, and these have an order:
    ///
    /// - If the leader's exchange is the last, the leader sees that no thread is inside.
    /// - If the leaving thread's exchange is the last, that thread sees [`WATCHED`], and tells the
    ///   others.
    /// - If the watcher's exchange is the last, the watcher sees that no thread is inside. It also
    ///   sees `reaped`, because the leader's exchange is Release and its own is Acquire.
    ///
    /// A load by the leader would have no place in that order. It could still find the leaving
    /// thread inside, although that thread left before any thread watched. And the watcher might
    /// not see `reaped`. Then nobody would notice.
    pub(crate) fn count_at_last(&self) -> Count {
        // MECHANISM: the exchange in the leader's look at the gate
        // `fetch_add(0, Release)` becomes `load(Acquire)`
        let word = self.word.fetch_add(0, Release);
        count(word, self.reaped.load(Relaxed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Relaxed) & CLOSED != 0
    }

    /// Closes the gate. Returns false if it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.word.fetch_or(CLOSED, Relaxed) & CLOSED == 0
    }

    /// Asks the last thread that leaves to tell the threads that watch. The caller has to look at
    /// the [`count`](Self::count) afterwards.
    pub(crate) fn watch(&self) {
        self.word.fetch_or(WATCHED, Acquire);
    }

    /// Undoes [`watch`](Self::watch).
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
