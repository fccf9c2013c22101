//! What was done of a [lane](crate::Lane)'s operations: a ring in memory, to which whoever reaps appends, and
//! from which the lane takes.
//!
//! There is one thread at a time on each side: the completer has the [reaper's role](crate::engine::reap), and the
//! lane is taken from with `&mut`. So slots and what is in them are handed over many at a time, by one exchange
//! for each turn of the reaper; and by none, if who reaps is the lane's own thread.
//!
//! # Handing over
//!
//! The inbox's word holds how many completions were delivered (30 bits, which may overflow) and two flags.
//!
//! - completer -> lane: the completer writes results and entries, then [delivers](Inbox::deliver) by raising the
//!   count (Release); the lane loads the count (Acquire) before it takes them.
//! - lane -> completer, places: an entry's place is written again when at least one of the operations delivered
//!   since was submitted after the entry was taken, as an inbox has as many places as its lane has slots. What a
//!   thread did before it submitted happens before the event.
//! - lane -> completer, the waker: the lane stores it behind a lock, then sets `WAITED`. The completer removes the
//!   flag before it takes the waker, and before it delivers: until then something is in flight, and the inbox
//!   stays. It delivers with an exchange that finds no such flag; so a waker that is set later finds the count
//!   raised. All that is done with `WAITED` is Relaxed: who sees the flag gets the lock after who set it.
//! - lane -> completer, the rest: when the lane goes, it sets `GONE` (Release). What was delivered before is the
//!   lane's; whatever follows is the completer's (Acquire), and so is the inbox, unless nothing follows.

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

/// The lane is gone.
const GONE: u32 = 1 << 31;
/// A waker is stored.
const WAITED: u32 = 1 << 30;
/// The number of completions.
const COUNT: u32 = WAITED - 1;

/// See the [module](self).
pub(crate) struct Inbox<T> {
    word: AtomicU32,
    /// A power of two.
    entries: Box<[Entry<T>]>,
    /// One less than their number.
    mask: u32,
    waker: Mutex<Option<Waker>>,
    /// How many completions there will have been in the end. Set when the lane goes.
    last: UnsafeCell<Count>,
}

type Entry<T> = UnsafeCell<*const T>;

// SAFETY: entries and `last` are handed from thread to thread as the module says; slots are Sync.
unsafe impl<T: Sync> Send for Inbox<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Inbox<T> {}

/// A number of completions, as the word counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(u32);

impl Count {
    pub(crate) const ZERO: Self = Self(0);

    #[inline]
    fn of(word: u32) -> Self {
        Self(word & COUNT)
    }

    #[inline]
    pub(crate) fn plus(self, n: usize) -> Self {
        Self(self.0.wrapping_add(n as u32) & COUNT)
    }

    #[inline]
    pub(crate) fn minus(self, n: usize) -> Self {
        Self(self.0.wrapping_sub(n as u32) & COUNT)
    }

    /// How many more these are than others.
    #[inline]
    pub(crate) fn since(self, before: Self) -> usize {
        (self.0.wrapping_sub(before.0) & COUNT) as usize
    }
}

/// A look at an inbox that is awaited: of whoever waits in line, by whoever leads.
pub(crate) struct News<T> {
    inbox: NonNull<Inbox<T>>,
    seen: Count,
}

// SAFETY: it is followed as `come` says, and an inbox is Sync.
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
    /// The inbox.
    pub(crate) fn inbox(self) -> NonNull<Inbox<T>> {
        self.inbox
    }

    /// Whether something was delivered that wasn't seen.
    ///
    /// # Safety
    ///
    /// The inbox lives.
    pub(crate) unsafe fn have_come(self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.inbox.as_ref() }.count() != self.seen
    }
}

impl<T> Inbox<T> {
    /// For a lane of so many slots. To be freed as the module says.
    pub(crate) fn new(slots: u32) -> NonNull<Self> {
        Self::starting_at(slots, Count::ZERO)
    }

    /// As one to which so many completions were delivered before.
    pub(crate) fn starting_at(slots: u32, count: Count) -> NonNull<Self> {
        let empty = |_| UnsafeCell::new(std::ptr::null());
        let places = slots.next_power_of_two();
        NonNull::from(Box::leak(Box::new(Self {
            word: AtomicU32::new(count.0),
            entries: (0..places).map(empty).collect(),
            mask: places - 1,
            waker: Mutex::new(None),
            last: UnsafeCell::new(Count::ZERO),
        })))
    }

    /// Frees an inbox.
    ///
    /// # Safety
    ///
    /// It was made by [`new`](Self::new), and nobody uses it any more.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }

    /// The entry of the completion that is delivered after so many.
    #[inline(always)]
    fn entry(&self, count: u32) -> &Entry<T> {
        // SAFETY: the mask is one less than their number.
        unsafe { self.entries.get_unchecked((count & self.mask) as usize) }
    }

    // The lane's side.

    /// How many completions were delivered.
    #[inline]
    pub(crate) fn count(&self) -> Count {
        Count::of(self.word.load(Acquire))
    }

    /// The slot whose completion was delivered when there were so many.
    ///
    /// # Safety
    ///
    /// The caller is the lane, has seen a larger [`count`](Self::count), and takes one after the other. The slot isn't
    /// used any more when the lane's queue is gone.
    #[inline]
    pub(crate) unsafe fn take(&self, count: Count) -> &'static T {
        // SAFETY: it was delivered, and isn't written to again before a request that we haven't submitted yet.
        let slot: *const T = self.entry(count.0).with(|entry| unsafe { *entry });
        // SAFETY: it is one of the queue's slots, which live as long as the queue.
        unsafe { &*slot }
    }

    /// What a lane waits for that has seen so many.
    pub(crate) fn news(&self, seen: Count) -> News<T> {
        News {
            inbox: NonNull::from(self),
            seen,
        }
    }

    /// Stores a waker that is woken when there are more than `seen`, in place of an earlier one. False when there
    /// are: then nobody wakes.
    pub(crate) fn register(&self, waker: &Waker, seen: Count) -> bool {
        let waker = waker.clone();
        let before = lock(&self.waker).replace(waker);
        // What is handed over here is behind the lock.
        let word = self.word.fetch_or(WAITED, Relaxed);
        drop(before);
        Count::of(word) == seen
    }

    /// Takes the waker out, if one is stored: nobody is woken from now on, unless a completer took it before.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        lock(&self.waker).take()
    }

    /// Leaves what follows to the completer, until there were `last`; unless more than `seen` were delivered: then
    /// says how many. On success nothing follows or the inbox isn't the lane's any more.
    ///
    /// # Safety
    ///
    /// The caller is the lane, has taken everything that it has seen, and the waker.
    pub(crate) unsafe fn leave(this: NonNull<Self>, seen: Count, last: Count) -> Result<(), Count> {
        // SAFETY: it lives as long as the lane is in charge of it.
        let inbox = unsafe { this.as_ref() };
        inbox.last.with_mut(|cell| {
            // SAFETY: it is the lane's until GONE is set.
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

/// What a completer has put in an inbox and not yet delivered.
// No more than this: it is to stay in registers from one event to the next.
pub(crate) struct Delivery<T> {
    inbox: NonNull<Inbox<T>>,
    /// How many will have been delivered, but for an overflow.
    after: u32,
}

/// Slots that a lane that went has left to its completer.
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
    /// The caller leads; the inbox is that of a slot whose event came, and which isn't yet delivered. So it
    /// stays until it is.
    #[inline]
    pub(crate) unsafe fn new(inbox: NonNull<Inbox<T>>) -> Self {
        // SAFETY: the caller says that it lives.
        let shared = unsafe { inbox.as_ref() };
        // Only who leads changes the count.
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
    /// The slot is one of the inbox's lane, its event came, and its result is in it.
    #[inline]
    pub(crate) unsafe fn add(&mut self, slot: &T) {
        // SAFETY: something is in flight until we deliver it, so the inbox lives.
        let inbox = unsafe { self.inbox.as_ref() };
        inbox.entry(self.after).with_mut(|entry| {
            // SAFETY: the lane doesn't read it before it is delivered, and has read what was in it.
            unsafe { *entry = slot }
        });
        self.after = self.after.wrapping_add(1);
    }

    /// Hands over what was added, in the thread that has the lane: then there is no need for an exchange, nor to wake
    /// anybody.
    #[inline]
    pub(crate) fn deliver_to_own(self) {
        // SAFETY: something is in flight until we deliver it.
        let inbox = unsafe { self.inbox.as_ref() };
        // Nobody else changes the word, or looks at what is the lane's. A waker that is stored stays there, unused.
        inbox.word.store(self.after & COUNT, Relaxed);
    }

    /// Hands over what was added. If the lane is gone, what it has left is the caller's.
    ///
    /// `wake` gets the waker that is stored; and those that were before it, if the lane replaces it meanwhile: who
    /// is the latest isn't known here, and none may be dropped in the reaper's role.
    #[cold]
    pub(crate) fn deliver(self, mut wake: impl FnMut(Waker)) -> Option<Left<T>> {
        // SAFETY: something is in flight until we deliver it.
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
    /// Gives each slot to `each`, and frees the inbox if they were the last. `each` doesn't panic.
    pub(crate) fn take(mut self, mut each: impl FnMut(*const T)) {
        // SAFETY: the lane has left it to its completer, who frees it when the last was delivered.
        let inbox = unsafe { self.inbox.as_ref() };
        while self.next != self.end {
            let entry = inbox.entry(self.next.0);
            // SAFETY: written by `add`, and with the lane gone nobody else uses it.
            each(entry.with(|entry| unsafe { *entry }));
            self.next = self.next.plus(1);
        }
        // SAFETY: with the lane gone it isn't written to any more.
        let last = inbox.last.with(|cell| unsafe { *cell });
        if self.end == last {
            // SAFETY: the lane is gone, and nothing of it is in flight.
            unsafe { Inbox::free(self.inbox) };
        }
    }
}
