//! A lane's resting slots, and how many results it has taken.
//!
//! A *resting* slot isn't in flight and holds no result. One count is enough for both: each result
//! that is taken leaves one more resting slot.

#![allow(unsafe_code, reason = "keeps slots")]

use crate::engine::{
    inbox::{Count, Inbox},
    slot::Slot,
};

/// The resting slots of a lane. A slot of the lane is here, in flight, delivered and not taken, or
/// set aside with its result.
pub(crate) struct Slots {
    /// The resting slots. They are empty, except that the first of them are filled while there is a
    /// batch. The vector has room for all of the lane's slots.
    empty: Vec<&'static Slot>,
    /// How many results were taken, minus the number of resting slots.
    base: Count,
    /// How many resting slots there will be when all delivered results that the lane knows of are
    /// taken.
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

    /// How many delivered results that the lane knows of aren't taken.
    #[inline]
    pub(crate) fn results(&self) -> usize {
        self.most - self.empty.len()
    }

    /// Notes that `count` results were delivered in all.
    #[inline]
    pub(crate) fn delivered(&mut self, count: Count) {
        self.most = self.empty.len() + count.since(self.taken());
    }

    /// Takes the slot of the next result, which counts as resting from now on.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, and there is a [result](Self::results). The caller takes the
    /// payload out of the slot before it fills the slot again. It doesn't use the slot any more
    /// when the last handle of the lane's queue is gone.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, inbox: &Inbox<Slot>) -> &'static Slot {
        // SAFETY: the caller says that the inbox is the lane's and that there is a result. So the
        // lane has loaded a count beyond `taken`, and takes completions in their order. The caller
        // doesn't use the slot when the last handle of the queue is gone.
        let slot = unsafe { inbox.take(self.taken()) };
        let len = self.empty.len();
        debug_assert!(len < self.empty.capacity());
        let end = self.empty.as_mut_ptr().wrapping_add(len);
        // SAFETY: the vector has room for all of the lane's slots. Each slot is in it at most once,
        // and this one wasn't, because it was delivered. So there is room for it.
        unsafe { end.write(slot) };
        // SAFETY: the element was written just now, within the capacity.
        unsafe { self.empty.set_len(len + 1) };
        slot
    }

    /// As [`take`](Self::take), but the slot isn't kept.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, and there is a [result](Self::results). The caller doesn't use the
    /// slot any more when the last handle of the lane's queue is gone.
    pub(crate) unsafe fn take_away(&mut self, inbox: &Inbox<Slot>) -> &'static Slot {
        // SAFETY: the caller says that the inbox is the lane's and that there is a result. So the
        // lane has loaded a count beyond `taken`, and takes completions in their order. The caller
        // doesn't use the slot when the last handle of the queue is gone.
        let slot = unsafe { inbox.take(self.taken()) };
        self.base = self.base.plus(1);
        self.most -= 1;
        slot
    }

    /// Removes the first `n` slots, which aren't resting any more.
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

    /// Puts back a slot that was [taken away](Self::take_away), or whose operation was refused. The
    /// number of results that were taken stays the same.
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

    /// The `len` slots of a lane that has taken `taken` results.
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
