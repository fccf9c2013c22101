//! The inbox of a lane: a ring in memory, to which the completer appends completions, and from
//! which the lane takes them.
//!
//! There is one thread at a time on each side. The completer is the leader. The lane takes
//! completions with `&mut`. So a whole turn's completions are delivered by one exchange, and by a
//! plain store if the leader is the lane's own thread.
//!
//! An inbox has E entries, a power of two and at least as many as the lane has slots. The n-th
//! completion is in entry n mod E. The inbox's word holds how many completions were delivered (30
//! bits, which may overflow) and the flags `WAITED` and `GONE`.
//!
//! # Handing over
//!
//! - completer → lane, completions: the completer writes results and entries, then
//!   [delivers](Delivery::deliver) them by raising the count (Release). The lane loads the count
//!   (Acquire) before it reads them.
//! - lane → completer, an entry that is used again: completions n and n + E use the same entry. The
//!   completer writes the second one after the lane has read the first one, for these reasons. Take
//!   the completions n to n + E. These are E + 1 completions, more than the lane has slots, so one
//!   slot was completed twice among them. The lane submitted that slot for the second time after it
//!   had taken its first completion. It takes completions in their order, so it had read completion
//!   n by then. What a thread did before it submitted a request happens before the request's event,
//!   which is a promise of [`Kernel`](crate::kernel::Kernel). The second request's event came no
//!   later than that of completion n + E.
//! - lane → completer, the waker: the lane stores it behind a lock, then sets `WAITED`. The
//!   completer removes `WAITED`, takes the waker, and only then delivers: until then an operation
//!   of the lane is in flight, so the lane doesn't free the inbox. The exchange that delivers fails
//!   if `WAITED` was set again. If the lane sets it after the delivery, it finds the count raised,
//!   and doesn't wait. Relaxed is enough for `WAITED`, because a completer that sees the flag finds
//!   the waker: if it took the lock before the lane did, it looked at the flag before the lane set
//!   it.
//! - lane → completer, the inbox: a lane that is dropped sets `GONE` (Release). What was delivered
//!   before is the lane's. What is delivered after that (Acquire) is the completer's, with its
//!   slots. The inbox is then the completer's too, which frees it after the last completion. If
//!   nothing is in flight, the lane frees it.

#![allow(unsafe_code, reason = "hands over slots and wakers")]

use std::{ptr::NonNull, task::Waker};

use crate::sync::{
    Mutex, UnsafeCell,
    atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    lock,
};

/// The lane was dropped.
const GONE: u32 = 1 << 31;
/// A waker is stored.
const WAITED: u32 = 1 << 30;
/// The bits of the number of completions.
const COUNT: u32 = WAITED - 1;

/// The inbox of one lane: see the [module](self). `T` is the slot.
pub(crate) struct Inbox<T> {
    word: AtomicU32,
    /// Their number is a power of two.
    entries: Box<[Entry<T>]>,
    /// The number of entries, minus 1.
    mask: u32,
    waker: Mutex<Option<Waker>>,
    /// The lane's total number of completions. Set when the lane is dropped.
    last: UnsafeCell<Count>,
}

type Entry<T> = UnsafeCell<*const T>;

// SAFETY: an entry is a pointer to a `T`, which may be used in any thread because `T` is Sync. The
// other fields are Send.
unsafe impl<T: Sync> Send for Inbox<T> {}
// SAFETY: the unsafe methods of `&Inbox` use `entries` and `last`. Their callers are the completer
// or the lane, between which both are handed over as the module says.
unsafe impl<T: Sync> Sync for Inbox<T> {}

/// A number of completions modulo 2^30, as the word counts them. The upper two bits don't count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(u32);

impl PartialEq for Count {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.since(*other) == 0
    }
}

impl Eq for Count {}

impl Count {
    pub(crate) const ZERO: Self = Self(0);

    #[inline]
    fn of(word: u32) -> Self {
        Self(word & COUNT)
    }

    #[inline]
    pub(crate) fn plus(self, n: usize) -> Self {
        Self(self.0.wrapping_add(n as u32))
    }

    #[inline]
    pub(crate) fn minus(self, n: usize) -> Self {
        Self(self.0.wrapping_sub(n as u32))
    }

    /// How many completions there are beyond the first `before`.
    #[inline]
    pub(crate) fn since(self, before: Self) -> usize {
        (self.0.wrapping_sub(before.0) & COUNT) as usize
    }
}

/// The goal of a lane that waits: a completion that it hasn't seen. The leader checks whether a
/// follower has reached it.
pub(crate) struct News<T> {
    inbox: NonNull<Inbox<T>>,
    seen: Count,
}

// SAFETY: the inbox is Sync. What follows the pointer in another thread is unsafe, and requires
// that the inbox lives.
unsafe impl<T: Sync> Send for News<T> {}

impl<T> Clone for News<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for News<T> {}

impl<T> PartialEq for News<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.inbox, self.seen) == (other.inbox, other.seen)
    }
}

impl<T> News<T> {
    /// The lane's inbox.
    pub(crate) fn inbox(self) -> NonNull<Inbox<T>> {
        self.inbox
    }

    /// Whether there is a completion that the lane hadn't seen when it began to wait.
    ///
    /// # Safety
    ///
    /// The inbox isn't freed during the call.
    pub(crate) unsafe fn have_come(self) -> bool {
        // SAFETY: `news` made the pointer from a reference, and the caller sees to it that the
        // inbox isn't freed.
        unsafe { self.inbox.as_ref() }.count() != self.seen
    }
}

impl<T> Inbox<T> {
    /// The inbox of a lane with this number of slots. The module says which thread
    /// [frees](Self::free) it.
    pub(crate) fn new(slots: u32) -> NonNull<Self> {
        Self::starting_at(slots, Count::ZERO)
    }

    /// An inbox to which `count` completions were delivered before.
    pub(crate) fn starting_at(slots: u32, count: Count) -> NonNull<Self> {
        let empty = |_| UnsafeCell::new(std::ptr::null());
        let len = slots.next_power_of_two();
        NonNull::from(Box::leak(Box::new(Self {
            word: AtomicU32::new(count.0 & COUNT),
            entries: (0..len).map(empty).collect(),
            mask: len - 1,
            waker: Mutex::new(None),
            last: UnsafeCell::new(Count::ZERO),
        })))
    }

    /// Frees an inbox.
    ///
    /// # Safety
    ///
    /// [`new`](Self::new) made it, and nobody uses it any more.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: `new` made the pointer from a box. Nobody uses the inbox any more, so nobody else
        // frees it.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }

    /// The entry of the completion with this number, counted from 0.
    #[inline(always)]
    fn entry(&self, count: u32) -> &Entry<T> {
        // SAFETY: the number of entries is a power of two and the mask is one less, so the index is
        // below it.
        unsafe { self.entries.get_unchecked((count & self.mask) as usize) }
    }

    // The lane's side.

    /// How many completions were delivered.
    #[inline]
    pub(crate) fn count(&self) -> Count {
        Count::of(self.word.load(Acquire))
    }

    /// The slot of the completion with this number, counted from 0.
    ///
    /// # Safety
    ///
    /// The caller is the lane. The [count](Self::count) that it loaded is beyond this number, and
    /// it takes completions in their order. It doesn't use the slot any more when the last handle
    /// of its queue is gone.
    #[inline]
    pub(crate) unsafe fn take(&self, count: Count) -> &'static T {
        // SAFETY: the completion was delivered. The completer writes this entry again only after
        // the lane submitted a request that it hasn't submitted yet: see the module.
        let slot: *const T = self.entry(count.0).with(|entry| unsafe { *entry });
        // SAFETY: the entry points to a slot of the lane's queue, which lives while the queue has a
        // handle. The caller doesn't use it longer.
        unsafe { &*slot }
    }

    /// The goal of a lane that has seen this number of completions.
    pub(crate) fn news(&self, seen: Count) -> News<T> {
        News {
            inbox: NonNull::from(self),
            seen,
        }
    }

    /// Stores a waker, which replaces an earlier one. It is woken when more than `seen` completions
    /// are delivered. Returns false if more than `seen` were delivered already: then no waker is
    /// woken.
    pub(crate) fn register(&self, waker: &Waker, seen: Count) -> bool {
        let waker = waker.clone();
        let before = lock(&self.waker).replace(waker);
        // Relaxed is enough: the lock hands the waker over.
        let word = self.word.fetch_or(WAITED, Relaxed);
        drop(before);
        Count::of(word) == seen
    }

    /// Takes the waker out, if one is stored. Afterwards no waker is woken, unless a completer took
    /// it before.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        lock(&self.waker).take()
    }

    /// Leaves all later completions to the completer, up to the `last` one. On success the inbox is
    /// the completer's, unless nothing is in flight: then it is still the lane's to free.
    ///
    /// # Errors
    ///
    /// The number of completions, if more than `seen` were delivered already. The inbox is still
    /// the lane's then.
    ///
    /// # Safety
    ///
    /// The caller is the lane. It has taken the waker, and all completions that it has seen. It
    /// submits nothing any more.
    pub(crate) unsafe fn leave(this: NonNull<Self>, seen: Count, last: Count) -> Result<(), Count> {
        // SAFETY: the lane's inbox isn't freed before the lane has left it, which is below.
        let inbox = unsafe { this.as_ref() };
        inbox.last.with_mut(|cell| {
            // SAFETY: the completer reads the cell only after the lane has set GONE, which is
            // below.
            unsafe { *cell = last }
        });
        let mut word = inbox.word.load(Relaxed);
        // MECHANISM: the look at what is delivered while a lane leaves
        // `while Count::of(word) == seen` becomes `loop`
        while Count::of(word) == seen {
            match inbox
                .word
                .compare_exchange_weak(word, word | GONE, Release, Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
        Err(inbox.count())
    }
}

/// Completions that the completer has put in an inbox and not yet delivered.
// It is kept small, to stay in registers from one event to the next.
pub(crate) struct Delivery<T> {
    inbox: NonNull<Inbox<T>>,
    /// How many completions are delivered after this delivery. The bits beyond [`COUNT`] have to be
    /// cut off.
    after: u32,
}

/// Slots of a dropped lane, which are the completer's.
pub(crate) struct Left<T> {
    inbox: NonNull<Inbox<T>>,
    next: Count,
    end: Count,
}

impl<T> Delivery<T> {
    /// Begins a delivery.
    ///
    /// # Safety
    ///
    /// The caller is the leader. It took the event of one of the lane's slots, which isn't
    /// delivered yet. So the inbox isn't freed before this delivery.
    #[inline]
    pub(crate) unsafe fn new(inbox: NonNull<Inbox<T>>) -> Self {
        // SAFETY: a completion of the lane's isn't delivered yet, so the inbox isn't freed.
        let shared = unsafe { inbox.as_ref() };
        // Only the leader changes the count.
        let after = shared.word.load(Relaxed) & COUNT;
        Self { inbox, after }
    }

    #[inline]
    pub(crate) fn inbox(&self) -> NonNull<Inbox<T>> {
        self.inbox
    }

    /// Adds a slot.
    ///
    /// # Safety
    ///
    /// The slot is one of this lane's. The caller took its event, and has stored its result.
    #[inline]
    pub(crate) unsafe fn add(&mut self, slot: &T) {
        // SAFETY: this slot's completion isn't delivered yet, so the inbox isn't freed.
        let inbox = unsafe { self.inbox.as_ref() };
        inbox.entry(self.after).with_mut(|entry| {
            // SAFETY: the lane doesn't read the entry before it is delivered, and has read the
            // entry's earlier completion: see the module.
            unsafe { *entry = slot }
        });
        self.after = self.after.wrapping_add(1);
    }

    /// Delivers what was added, in the lane's own thread. A store is enough, and no waker has to be
    /// woken.
    #[inline]
    pub(crate) fn deliver_to_own(self) {
        // SAFETY: the completions aren't delivered yet, so the inbox isn't freed.
        let inbox = unsafe { self.inbox.as_ref() };
        // The lane's thread is this one, so nobody else changes the word. A stored waker stays
        // where it is, and isn't woken.
        inbox.word.store(self.after & COUNT, Relaxed);
    }

    /// Delivers what was added. If the lane was dropped, returns the slots, which are the caller's
    /// then.
    ///
    /// `wake` gets the stored waker. If the lane replaces its waker meanwhile, `wake` gets several.
    /// All of them have to be woken: none may be dropped by the leader, because a waker's
    /// destructor is foreign code.
    #[cold]
    pub(crate) fn deliver(self, mut wake: impl FnMut(Waker)) -> Option<Left<T>> {
        // SAFETY: the completions aren't delivered yet, so the inbox isn't freed.
        let inbox = unsafe { self.inbox.as_ref() };
        let mut word = inbox.word.load(Relaxed);
        loop {
            // MECHANISM: the waker of a lane
            // `word & WAITED != 0` becomes `false`
            if word & WAITED != 0 {
                word = inbox.word.fetch_and(!WAITED, Relaxed) & !WAITED;
                if let Some(waker) = inbox.take_waker() {
                    wake(waker);
                }
            }
            let delivered = self.after & COUNT | word & GONE;
            match inbox
                .word
                .compare_exchange(word, delivered, AcqRel, Relaxed)
            {
                Ok(_) => {
                    // MECHANISM: what a lane leaves to its completer
                    // `(word & GONE != 0)` becomes `false`
                    return (word & GONE != 0).then_some(Left {
                        inbox: self.inbox,
                        next: Count::of(word),
                        end: Count::of(delivered),
                    });
                }
                // MECHANISM: the second look for a lane's waker
                // `word = now` becomes `word = now & !WAITED`
                Err(now) => word = now,
            }
        }
    }
}

impl<T> Left<T> {
    /// Gives each slot to `each`, which doesn't panic. Frees the inbox after the lane's last
    /// completion.
    pub(crate) fn take(mut self, mut each: impl FnMut(*const T)) {
        // SAFETY: the lane was dropped and its last completion wasn't taken, so the inbox is the
        // completer's and not yet freed.
        let inbox = unsafe { self.inbox.as_ref() };
        while self.next != self.end {
            let entry = inbox.entry(self.next.0);
            // SAFETY: `Delivery::add` wrote the entry. The lane was dropped, so only the completer
            // uses it.
            each(entry.with(|entry| unsafe { *entry }));
            self.next = self.next.plus(1);
        }
        // SAFETY: the lane was dropped after it had written the cell, so nobody writes to it.
        let last = inbox.last.with(|cell| unsafe { *cell });
        if self.end == last {
            // SAFETY: the lane was dropped, and this was its last completion, so nobody uses the
            // inbox any more.
            unsafe { Inbox::free(self.inbox) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Adds these slots to a delivery.
    fn delivery(inbox: NonNull<Inbox<u32>>, slots: &[u32]) -> Delivery<u32> {
        // SAFETY: this is the only thread, and the inbox lives until its last completion.
        let mut delivery = unsafe { Delivery::new(inbox) };
        for slot in slots {
            // SAFETY: there is no other thread, and the entries aren't in use.
            unsafe { delivery.add(slot) };
        }
        delivery
    }

    #[test]
    fn news_come_across_an_overflow_of_their_count() {
        static SLOTS: [u32; 3] = [5, 6, 7];
        let start = Count::ZERO.minus(1);
        for own in [true, false] {
            let shared = Inbox::<u32>::starting_at(3, start);
            // SAFETY: it is freed at the end of this turn.
            let inbox = unsafe { shared.as_ref() };
            // A lane counts without cutting the upper bits off.
            let seen = start.plus(1 << 30);
            let news = inbox.news(seen);
            // SAFETY: the inbox lives.
            assert!(!unsafe { news.have_come() });
            assert!(inbox.register(Waker::noop(), seen));
            let mut woken = 0;
            let all = delivery(shared, &SLOTS);
            if own {
                all.deliver_to_own();
            } else {
                assert!(all.deliver(|_| woken += 1).is_none());
            }
            // SAFETY: the inbox lives.
            assert!(unsafe { news.have_come() });
            assert_eq!((inbox.count().since(seen), woken), (3, usize::from(!own)));
            assert_eq!(inbox.word.load(Relaxed), 2, "no flag is set");
            for (n, slot) in SLOTS.iter().enumerate() {
                // SAFETY: three were delivered, and they are taken in their order.
                assert_eq!(unsafe { inbox.take(seen.plus(n)) }, slot);
            }
            // SAFETY: `starting_at` made it, and nobody uses it any more.
            unsafe { Inbox::free(shared) };
        }
    }

    #[test]
    fn a_lane_leaves_the_rest_across_an_overflow_of_their_count() {
        static SLOTS: [u32; 4] = [5, 6, 7, 8];
        let start = Count::ZERO.minus(3);
        let shared = Inbox::<u32>::starting_at(4, start);
        delivery(shared, &SLOTS[..1]).deliver_to_own();
        // Counted up from the other side of the overflow.
        let last = Count::ZERO.plus(1);
        // SAFETY: there is no other thread.
        let seen = unsafe { Inbox::leave(shared, start, last) }.unwrap_err();
        assert_eq!(seen, start.plus(1));
        // SAFETY: there is no other thread.
        unsafe { Inbox::leave(shared, seen, last) }.unwrap();
        let mut left = Vec::new();
        for slots in [&SLOTS[1..3], &SLOTS[3..]] {
            let rest = delivery(shared, slots).deliver(|_| unreachable!()).unwrap();
            // The last of these frees the inbox: a leak checker sees whether it does.
            // SAFETY: the slots are static.
            rest.take(|slot| left.push(unsafe { *slot }));
        }
        assert_eq!(left, SLOTS[1..]);
    }
}
