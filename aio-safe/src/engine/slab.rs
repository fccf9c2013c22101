//! The slab: all slots of a queue, and the list of free ones.
//!
//! The list is a bitmap, in which a slot's bit is set while the slot is free. One exchange claims
//! up to a word's worth of slots, by clearing their bits. One exchange frees several slots of one
//! word, by setting their bits again. There are no links between free slots, so there is no ABA
//! problem.
//!
//! Each word also counts how often slots were freed in it. A claim looks at one word after the
//! other. It may miss a slot that is freed in a word that it has already looked at, while another
//! thread claims a slot in a word that it hasn't reached. So a claim that found nothing looks
//! again, until no count has changed from one look to the next. Then there was a moment at which no
//! slot was free.
//!
//! # While the line isn't empty
//!
//! While a thread or task is in the [line](crate::engine::line::Line), each word carries the mark
//! [`WAITED`]. [`Slab::free`] then frees nothing: the caller still owns the slots, and gives them
//! to the line. It has to look at the mark before it frees the slots. Once they are free, the slab
//! may be gone.
//!
//! # When the last queue handle is gone
//!
//! An operation's handle isn't a counted reference to the queue. The slab lives as long as there is
//! a queue handle, or a slot that isn't free. When the last queue handle is dropped,
//! [`Slab::orphan`] takes all free slots out of the bitmap, and leaves the mark [`ORPHAN`] in each
//! word. A thread that frees slots after that finds the mark, and subtracts them from the count of
//! those left. The thread that brings the count to zero ends the hold that all queue handles and
//! slots have in common: see [`shared`](crate::engine::shared). The last hold keeps the slab.

#![allow(unsafe_code, reason = "may be freed when the last slot is")]

use std::ptr::NonNull;

use crate::{
    engine::slot::Slot,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// How many slots a word of the bitmap has. A power of two, so that no division is needed to find a
/// slot's bit.
const SLOTS_PER_WORD: u32 = usize::BITS / 2;
/// The bits of a word's slots.
const SLOTS: usize = (1 << SLOTS_PER_WORD) - 1;
/// Set in each word once the last queue handle is gone.
const ORPHAN: usize = SLOTS + 1;
/// Set in each word while the line isn't empty.
const WAITED: usize = ORPHAN << 1;
/// One unit of the count of how often slots were freed. The count has the rest of the word, and may
/// overflow.
const FREED: usize = WAITED << 1;

pub(crate) struct Slab {
    slots: Box<[Slot]>,
    free: Box<[AtomicUsize]>,
    /// The word in which a slot was last found: the next claim begins there.
    hint: AtomicUsize,
    /// How many slots of the orphaned slab aren't freed yet. It may wrap below zero while `orphan`
    /// runs.
    left: AtomicUsize,
}

/// The outcome of [`Slab::free`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// They are free.
    Free,
    /// They are free, and were the last of an orphaned slab. The caller has to end the common hold.
    Last,
    /// They aren't free, and still the caller's, because the line isn't empty.
    Waited,
}

/// Slots of one word of the bitmap: claimed together, or to be freed together.
pub(crate) struct Group {
    /// The index of the word's first slot.
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

    /// The slot with this index, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    /// The slot with this index, which was claimed.
    #[inline]
    pub(crate) fn claimed(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    /// Claims up to `want` slots of one word. The group is empty only if there was a moment during
    /// the call at which no slot was free.
    #[inline]
    pub(crate) fn claim(&self, want: u32) -> Group {
        let hint = self.hint.load(Relaxed);
        match self.claim_in(hint, want) {
            Ok(claimed) => claimed,
            Err(_) => self.claim_elsewhere(hint, want),
        }
    }

    /// Claims slots in one word. If none is free there, returns the word.
    #[inline]
    fn claim_in(&self, index: usize, want: u32) -> Result<Group, usize> {
        let word = &self.free[index];
        loop {
            let bits = word.load(Acquire);
            if bits & SLOTS == 0 {
                return Err(bits);
            }
            let taken = lowest(bits & SLOTS, want);
            // Release: a thread that sees these slots taken also sees what this thread freed in
            // other words before. Its second look finds their counts raised.
            // ORDERING: AcqRel, not Release: the load above is Acquire, so it shows already what
            // the thread did that freed the slots. Only if the count of frees has overflowed since
            // the load, the exchange meets a later free. No model runs for so long.
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
            // If no slot was freed between two looks, no slot was free at the moment between them:
            // see the module.
            // MECHANISM: the second look for a free slot
            // `words == 1 || before == Some(freed)` becomes `true`
            if words == 1 || before == Some(freed) {
                return Group::none();
            }
            before = Some(freed);
        }
    }

    /// Frees slots, unless the line isn't empty.
    ///
    /// Takes a pointer, not a reference: once the slots are free, the slab may be freed at any
    /// time, unless the caller has a hold. A reference must stay valid until the function returns,
    /// even if it is no longer used.
    ///
    /// # Safety
    ///
    /// `this` is valid. The slots belong to this slab and to the caller, which has retired them.
    #[inline]
    pub(crate) unsafe fn free(this: NonNull<Self>, slots: &Group) -> Freed {
        let word = slots.word();
        // SAFETY: slots that aren't free keep the slab, until the exchange below frees them.
        // Nothing uses the reference after that.
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
                    // SAFETY: an orphaned slab stays until all of its slots are subtracted, and
                    // these aren't yet.
                    return unsafe { Self::count_off(this, n) };
                }
                Err(now) => bits = now,
            }
        }
        Freed::Waited
    }

    /// Subtracts slots that were freed from the count of an orphaned slab.
    ///
    /// # Safety
    ///
    /// `this` is valid until these slots are subtracted.
    #[cold]
    unsafe fn count_off(this: NonNull<Self>, n: usize) -> Freed {
        // SAFETY: these slots keep the slab until the subtraction below. Nothing uses the reference
        // after that.
        let left = unsafe { &(*this.as_ptr()).left };
        if left.fetch_sub(n, AcqRel) == n {
            Freed::Last
        } else {
            Freed::Free
        }
    }

    /// Marks that the line isn't empty.
    pub(crate) fn mark_waited(&self) {
        for word in &self.free {
            word.fetch_or(WAITED, Relaxed);
        }
    }

    /// Removes the mark that the line isn't empty.
    pub(crate) fn unmark_waited(&self) {
        for word in &self.free {
            word.fetch_and(!WAITED, Relaxed);
        }
    }

    /// Takes all free slots out, because no queue handle is left and nothing will be claimed again.
    /// Returns true if all slots were free: then the caller has to end the common hold. Otherwise
    /// the slab may be freed at any time.
    ///
    /// Takes a pointer, as [`free`](Self::free) does.
    ///
    /// # Safety
    ///
    /// `this` is valid, and this function is called once.
    #[must_use]
    pub(crate) unsafe fn orphan(this: NonNull<Self>) -> bool {
        // SAFETY: `left` doesn't come to zero before the addition below, so nobody frees the slab
        // until then. Nothing uses the reference after that.
        let slab = unsafe { &*this.as_ptr() };
        let free: u32 = slab
            .free
            .iter()
            .map(|word| (word.swap(ORPHAN, Acquire) & SLOTS).count_ones())
            .sum();
        let taken = (slab.depth() - free) as usize;
        // Slots that were freed since the swap are already subtracted: `left` is below zero by
        // their number.
        slab.left.fetch_add(taken, AcqRel).wrapping_add(taken) == 0
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

/// The lowest `n` set bits, or all if there are fewer. At least one is set.
#[inline]
fn lowest(bits: usize, n: u32) -> usize {
    if n == 1 {
        return bits & bits.wrapping_neg();
    }
    // Most often the lowest ones lie side by side.
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
        // SAFETY: the slab outlives the call. The test has claimed the slots, and puts nothing in
        // them.
        unsafe { Slab::free(NonNull::from(slab), slots) }
    }

    fn orphan(slab: &Slab) -> bool {
        // SAFETY: the slab outlives the call, and each test calls this once.
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
