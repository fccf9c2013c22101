//! A lane's empty slots, and how many results it has taken.
//!
//! Both are one count: taking a result leaves a slot empty.

#![allow(unsafe_code, reason = "keeps slots")]

use crate::engine::{
    inbox::{Count, Inbox},
    slot::Slot,
};

/// Each of the lane's slots is in here, or in flight, or delivered and not taken, or set aside with
/// its result.
pub(crate) struct Slots {
    /// The empty slots. While there is a batch, the first of them are filled. The vector has room
    /// for all of the lane's slots.
    empty: Vec<&'static Slot>,
    /// How many results were taken, less the number of empty slots.
    base: Count,
    /// How many empty slots there will be when all delivered results are taken, as far as is known.
    most: usize,
}

impl Slots {
    /// The slots of a new lane.
    pub(crate) fn new(slots: Vec<&'static Slot>) -> Self {
        Self {
            base: Count::ZERO.minus(slots.len()),
            most: slots.len(),
            empty: slots,
        }
    }

    #[inline]
    pub(crate) fn empty(&self) -> &[&'static Slot] {
        &self.empty
    }

    /// How many results were taken.
    #[inline]
    pub(crate) fn taken(&self) -> Count {
        self.base.plus(self.empty.len())
    }

    /// How many results can be taken, as far as is known.
    #[inline]
    pub(crate) fn results(&self) -> usize {
        self.most - self.empty.len()
    }

    /// So many results were delivered.
    #[inline]
    pub(crate) fn delivered(&mut self, count: Count) {
        self.most = self.empty.len() + count.since(self.taken());
    }

    /// Takes the next result's slot, which counts as empty from now on.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, there is a [result](Self::results), and whoever has the lane takes
    /// the result out before anything is put in. Slots aren't used any more when the lane's queue
    /// is gone.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, inbox: &Inbox<Slot>) -> &'static Slot {
        // SAFETY: it was delivered, and not taken; for the rest the caller's promise.
        let slot = unsafe { inbox.take(self.taken()) };
        let len = self.empty.len();
        debug_assert!(len < self.empty.capacity());
        let place = self.empty.as_mut_ptr().wrapping_add(len);
        // SAFETY: each slot is here once at most, and this one wasn't: so there is room for it.
        unsafe { place.write(slot) };
        // SAFETY: it was written just now.
        unsafe { self.empty.set_len(len + 1) };
        slot
    }

    /// As [`take`](Self::take), but the slot isn't kept.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, and there is a [result](Self::results). The slot isn't used any
    /// more when the lane's queue is gone.
    pub(crate) unsafe fn take_away(&mut self, inbox: &Inbox<Slot>) -> &'static Slot {
        // SAFETY: it was delivered, and not taken; for the rest the caller's promise.
        let slot = unsafe { inbox.take(self.taken()) };
        self.base = self.base.plus(1);
        self.most -= 1;
        slot
    }

    /// The first `n` slots aren't empty any more.
    #[inline]
    pub(crate) fn fill(&mut self, n: usize) {
        if n == self.empty.len() {
            self.empty.clear();
        } else {
            self.empty.drain(..n);
        }
        self.base = self.base.plus(n);
        self.most -= n;
    }

    /// Puts back a slot that isn't counted any more, or never was: it was [taken
    /// away](Self::take_away), or refused.
    pub(crate) fn put(&mut self, slot: &'static Slot) {
        self.empty.push(slot);
        self.base = self.base.minus(1);
        self.most += 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::engine::inbox::Delivery;

    /// So many slots of a lane that has taken so many results.
    fn slots(len: u32, taken: Count) -> Slots {
        let slots = (0..len).map(|index| &*Box::leak(Box::new(Slot::new(index))));
        let mut slots = Slots::new(slots.collect());
        slots.base = taken.minus(len as usize);
        slots
    }

    fn indices(slots: &Slots) -> Vec<u32> {
        slots.empty().iter().map(|slot| slot.index()).collect()
    }

    #[test]
    fn results_are_taken_across_an_overflow_of_their_count() {
        let start = Count::ZERO.minus(3);
        let shared = Inbox::<Slot>::starting_at(4, start);
        // SAFETY: it is never freed.
        let inbox = unsafe { shared.as_ref() };
        let mut slots = slots(4, start);
        let deliver = |slots: &[&'static Slot]| {
            // SAFETY: there is no other thread, and the inbox stays.
            let mut delivery = unsafe { Delivery::new(shared) };
            for slot in slots {
                // SAFETY: there is a result that wasn't taken, and the inbox is never freed.
                unsafe { delivery.add(slot) };
            }
            delivery.deliver_to_own();
        };
        for round in 0..4_usize {
            assert_eq!(slots.taken(), start.plus(round * 4));
            let all = slots.empty().to_vec();
            slots.fill(3);
            deliver(&[all[2], all[0]]);
            slots.delivered(inbox.count());
            assert_eq!(
                (slots.results(), indices(&slots)),
                (2, vec![all[3].index()])
            );
            // SAFETY: there is a result.
            assert!(std::ptr::eq(unsafe { slots.take(inbox) }, all[2]));
            // The last one is refused.
            slots.fill(1);
            slots.put(all[3]);
            deliver(&[all[1]]);
            assert_eq!(slots.results(), 1);
            slots.delivered(inbox.count());
            assert_eq!(slots.results(), 2);
            // SAFETY: there is a result that wasn't taken, and the inbox is never freed.
            assert!(std::ptr::eq(unsafe { slots.take_away(inbox) }, all[0]));
            // SAFETY: there is a result that wasn't taken, and the inbox is never freed.
            assert!(std::ptr::eq(unsafe { slots.take(inbox) }, all[1]));
            assert_eq!(slots.results(), 0);
            slots.put(all[0]);
            // A fourth one, so that each round moves on by as many as there are slots.
            slots.fill(1);
            deliver(&[all[3]]);
            slots.delivered(inbox.count());
            // SAFETY: there is a result that wasn't taken, and the inbox is never freed.
            unsafe { slots.take(inbox) };
            assert_eq!((slots.results(), slots.empty().len()), (0, 4));
        }
    }
}
