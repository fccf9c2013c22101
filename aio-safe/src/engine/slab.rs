//! The fixed slab of slots, and the list of those that are free.
//!
//! The list is a bitmap, one bit for each slot, set while the slot is free. Claiming clears bits with
//! one exchange for up to a word's worth of slots; freeing sets them again, of one slot or of several of
//! one word. There is nothing an ABA could go wrong with.
//!
//! A word also counts how often slots were freed in it. Who looks for a slot in one word after the other, and finds
//! none, looks once more whether any was freed meanwhile: otherwise it could be told that there is none, though at no
//! time there was none.
//!
//! # Who waits for a slot
//!
//! While somebody waits for a slot, each word carries the mark [`WAITED`]. A slot isn't freed then, but
//! handed on by [`Line`](crate::engine::line::Line): a freed one would be the slab's last, perhaps, and whoever
//! freed it had nothing to hold the slab by any more.
//!
//! # Who frees the slab
//!
//! A handle doesn't count as a reference to its queue: the slab lives as long as a queue or an unfree
//! slot does. When the last queue goes, [`Slab::orphan`] takes
//! every free slot out and leaves the mark [`ORPHAN`] in each word. Whoever frees slots after that
//! finds the mark, and counts them off; the one who counts to zero frees the slab.

#![allow(unsafe_code, reason = "is freed by whoever frees the last slot")]

use std::ptr::NonNull;

use crate::{
    engine::slot::Slot,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// A power of two: to find a slot's bit takes no division.
const SLOTS_PER_WORD: u32 = usize::BITS / 2;
/// The slots of a word of the bitmap.
const SLOTS: usize = (1 << SLOTS_PER_WORD) - 1;
/// Set in each word of the bitmap once the last queue is gone.
const ORPHAN: usize = SLOTS + 1;
/// Set in each word of the bitmap while somebody waits for a slot.
const WAITED: usize = ORPHAN << 1;
/// One more time that slots were freed, in the rest of a word, where it may overflow.
const FREED: usize = WAITED << 1;

pub(crate) struct Slab {
    slots: Box<[Slot]>,
    free: Box<[AtomicUsize]>,
    /// The word in which a slot was last found.
    hint: AtomicUsize,
    /// How many slots were not free when the slab was orphaned, less those freed since.
    left: AtomicUsize,
}

/// What became of slots that were to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    Free,
    /// They were the last of an orphaned slab: the slab is the caller's to free.
    Last,
    /// They are not free, but still the caller's: somebody waits.
    Waited,
}

/// Slots of one word, claimed or to be freed together.
pub(crate) struct Group {
    /// The first slot of the word.
    first: u32,
    bits: usize,
}

impl Slab {
    #[cfg(loom)]
    pub(crate) const SLOTS_PER_WORD: u32 = SLOTS_PER_WORD;

    pub(crate) fn new(depth: u32) -> Self {
        let words = depth.div_ceil(SLOTS_PER_WORD);
        let bits = |word: u32| {
            let slots = (depth - word * SLOTS_PER_WORD).min(SLOTS_PER_WORD);
            AtomicUsize::new((1 << slots) - 1)
        };
        Self {
            slots: (0..depth).map(Slot::new).collect(),
            free: (0..words).map(bits).collect(),
            hint: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The slot of an index, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    /// The slot of an index that was claimed.
    #[inline]
    pub(crate) fn claimed(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    /// Claims up to `want` slots, as many as one word has; none only when none is free.
    #[inline]
    pub(crate) fn claim(&self, want: u32) -> Group {
        let hint = self.hint.load(Relaxed);
        match self.claim_in(hint, want) {
            Ok(claimed) => claimed,
            Err(_) => self.claim_elsewhere(hint, want),
        }
    }

    /// Claims slots in one word; if it has none, says what is in it.
    #[inline]
    fn claim_in(&self, index: usize, want: u32) -> Result<Group, usize> {
        let word = &self.free[index];
        loop {
            let bits = word.load(Acquire);
            if bits & SLOTS == 0 {
                return Err(bits);
            }
            let taken = lowest(bits & SLOTS, want);
            // Who finds that these were taken is to see, too, what this thread has freed elsewhere before.
            // ORDERING: AcqRel, not Release: who freed them is known from the load already, but for a count that
            // has overflowed since, which no model does.
            let claimed = word.compare_exchange_weak(bits, bits & !taken, AcqRel, Relaxed);
            if claimed.is_ok() {
                return Ok(Group {
                    first: index as u32 * SLOTS_PER_WORD,
                    bits: taken,
                });
            }
        }
    }

    #[cold]
    fn claim_elsewhere(&self, hint: usize, want: u32) -> Group {
        let words = self.free.len();
        let mut before = None;
        loop {
            let mut freed = 0_usize;
            for index in (hint + 1..words).chain(0..=hint) {
                match self.claim_in(index, want) {
                    Ok(claimed) => {
                        self.hint.store(index, Relaxed);
                        return claimed;
                    }
                    Err(bits) => freed = freed.wrapping_add(bits / FREED),
                }
            }
            // Words are looked at one after the other: a slot may have been freed in one behind us, and another one
            // claimed in one before us. When nothing was freed from one look to the next, none was free in between.
            // MECHANISM: the second look for a free slot
            // `words == 1 || before == Some(freed)` becomes `true`
            if words == 1 || before == Some(freed) {
                return Group::none();
            }
            before = Some(freed);
        }
    }

    /// Frees slots that the caller owns and has retired, unless somebody waits for one.
    ///
    /// Takes a pointer: when the slots are free the slab may be gone at once, unless the caller has
    /// another hold on it, and a reference must not outlive what it refers to, even unused.
    ///
    /// # Safety
    ///
    /// `this` is valid, and the slots, which aren't free, are among its own.
    #[inline]
    pub(crate) unsafe fn free(this: NonNull<Self>, slots: &Group) -> Freed {
        let word = slots.word();
        // SAFETY: the slots keep the slab until the exchange below, which uses the word last.
        let word = unsafe { &(&(*this.as_ptr()).free)[word] };
        let mut bits = word.load(Relaxed);
        // MECHANISM: the hand-over of slots to whoever waits
        // `bits & WAITED == 0` becomes `bits & WAITED <= WAITED`
        while bits & WAITED == 0 {
            let freed = (bits | slots.bits).wrapping_add(FREED);
            match word.compare_exchange_weak(bits, freed, Release, Relaxed) {
                Ok(_) if bits & ORPHAN == 0 => return Freed::Free,
                // MECHANISM: the count of slots freed together
                // `slots.bits.count_ones() as usize` becomes `1`
                Ok(_) => {
                    let n = slots.bits.count_ones() as usize;
                    // SAFETY: an orphaned slab stays until all of its slots are counted off, these
                    // included.
                    return unsafe { Self::count_off(this, n) };
                }
                Err(now) => bits = now,
            }
        }
        Freed::Waited
    }

    /// Counts slots of an orphaned slab off, which were freed before.
    ///
    /// # Safety
    ///
    /// `this` is valid until these slots are counted off.
    #[cold]
    unsafe fn count_off(this: NonNull<Self>, n: usize) -> Freed {
        // SAFETY: the slab stays until the subtraction below, which uses the count last.
        let left = unsafe { &(*this.as_ptr()).left };
        if left.fetch_sub(n, AcqRel) == n {
            Freed::Last
        } else {
            Freed::Free
        }
    }

    /// Marks that somebody waits for a slot.
    pub(crate) fn mark_waited(&self) {
        for word in &self.free {
            word.fetch_or(WAITED, Relaxed);
        }
    }

    /// Takes the mark away.
    pub(crate) fn unmark_waited(&self) {
        for word in &self.free {
            word.fetch_and(!WAITED, Relaxed);
        }
    }

    /// Says that no queue is left: nothing will be claimed again. Returns true when every slot is
    /// free: then the slab is the caller's to free. Otherwise it may be gone at once.
    ///
    /// Takes a pointer, as [`free`](Self::free) does.
    ///
    /// # Safety
    ///
    /// `this` is valid, and this is called once.
    #[must_use]
    pub(crate) unsafe fn orphan(this: NonNull<Self>) -> bool {
        // SAFETY: nobody frees the slab before the addition below: until then the count of what is
        // left doesn't come to zero.
        let (slab, left) = unsafe { (&*this.as_ptr(), &(*this.as_ptr()).left) };
        let free: u32 = slab
            .free
            .iter()
            .map(|word| (word.swap(ORPHAN, Acquire) & SLOTS).count_ones())
            .sum();
        let taken = (slab.depth() - free) as usize;
        // Slots that were freed in between have already been counted off, below zero.
        left.fetch_add(taken, AcqRel).wrapping_add(taken) == 0
    }
}

impl Group {
    pub(crate) const fn none() -> Self {
        Self { first: 0, bits: 0 }
    }

    #[inline]
    pub(crate) fn one(index: u32) -> Self {
        let n = index % SLOTS_PER_WORD;
        Self {
            first: index - n,
            bits: 1 << n,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.bits.count_ones()
    }

    #[inline]
    fn word(&self) -> usize {
        (self.first / SLOTS_PER_WORD) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bits == 0
    }
}

impl Iterator for Group {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let bit = self.bits.trailing_zeros();
        (self.bits != 0).then(|| {
            self.bits &= self.bits - 1;
            self.first + bit
        })
    }
}

/// The lowest `n` of the bits that are set, of which there is one.
#[inline]
fn lowest(bits: usize, n: u32) -> usize {
    // Most often they lie side by side.
    let start = bits.trailing_zeros();
    if (bits >> start).trailing_ones() >= n {
        ((1 << n) - 1) << start
    } else {
        lowest_of_scattered(bits, n)
    }
}

#[cold]
fn lowest_of_scattered(bits: usize, n: u32) -> usize {
    if n >= bits.count_ones() {
        return bits;
    }
    let mut rest = bits;
    for _ in 0..n {
        rest &= rest - 1;
    }
    bits & !rest
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn free(slab: &Slab, slots: &Group) -> Freed {
        // SAFETY: the slots are the slab's, which stays.
        unsafe { Slab::free(NonNull::from(slab), slots) }
    }

    fn orphan(slab: &Slab) -> bool {
        // SAFETY: the slab stays, and each test calls this once.
        unsafe { Slab::orphan(NonNull::from(slab)) }
    }

    fn drain(slab: &Slab, want: u32) -> Vec<u32> {
        let mut all = Vec::new();
        loop {
            let claimed = slab.claim(want);
            if claimed.is_empty() {
                return all;
            }
            let before = all.len();
            all.extend(claimed);
            assert!((1..=want as usize).contains(&(all.len() - before)));
        }
    }

    #[test]
    fn every_slot_is_claimed_once() {
        for depth in [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000] {
            for want in [1, 5, 63, 5000] {
                let slab = Slab::new(depth);
                let mut all = drain(&slab, want);
                all.sort_unstable();
                assert_eq!(
                    all,
                    (0..depth).collect::<Vec<_>>(),
                    "depth {depth}, {want} at a time"
                );
                assert!(slab.get(depth).is_none() && slab.get(depth - 1).is_some());
            }
        }
    }

    #[test]
    fn a_freed_slot_is_claimed_again() {
        let slab = Slab::new(200);
        drain(&slab, 200);
        for index in [0, 31, 32, 199] {
            assert_eq!(free(&slab, &Group::one(index)), Freed::Free);
            assert_eq!(drain(&slab, 9), [index]);
        }
    }

    #[test]
    fn the_last_one_frees_an_orphan() {
        let slab = Slab::new(130);
        assert!(orphan(&slab), "all were free");

        let slab = Slab::new(130);
        drain(&slab, 64);
        assert_eq!(
            [free(&slab, &Group::one(0)), free(&slab, &Group::one(129))],
            [Freed::Free; 2]
        );
        assert!(!orphan(&slab));
        assert!((1..128).all(|index| free(&slab, &Group::one(index)) == Freed::Free));
        assert_eq!(
            free(&slab, &Group::one(128)),
            Freed::Last,
            "the last of the 128 that weren't free"
        );
    }

    #[test]
    fn a_slot_that_is_waited_for_is_not_freed() {
        let slab = Slab::new(130);
        drain(&slab, 64);
        slab.mark_waited();
        assert_eq!(
            [free(&slab, &Group::one(0)), free(&slab, &Group::one(129))],
            [Freed::Waited; 2]
        );
        assert!(slab.claim(1).is_empty());
        slab.unmark_waited();
        assert_eq!(free(&slab, &Group::one(129)), Freed::Free);
        assert_eq!(drain(&slab, 1), [129]);
    }

    #[test]
    fn whoever_still_waits_is_no_free_slot() {
        let slab = Slab::new(1);
        drain(&slab, 1);
        slab.mark_waited();
        assert!(!orphan(&slab), "the slot isn't free");
        assert_eq!(free(&slab, &Group::one(0)), Freed::Last);
    }
}
