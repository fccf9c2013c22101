//! A lane's empty places, and how far it has taken what was delivered to it.
//!
//! Both are one count: a result that is taken leaves a place empty.

#![allow(unsafe_code, reason = "keeps slots")]

use crate::{
    inbox::{Count, Inbox},
    slot::Slot,
};

/// Each of the lane's slots is here, or refused, or in flight, or delivered and not taken.
pub(crate) struct Places {
    /// The empty ones. It has room for all.
    slots: Vec<&'static Slot>,
    /// How many results were taken, less the number of empty slots.
    base: Count,
    /// How many empty slots there are when all results are taken that were delivered, as far as is known.
    most: usize,
}

impl Places {
    /// Of a lane to which nothing was delivered yet.
    pub(crate) fn new(slots: Vec<&'static Slot>) -> Self {
        Self {
            base: Count::ZERO.minus(slots.len()),
            most: slots.len(),
            slots,
        }
    }

    #[inline]
    pub(crate) fn empty(&self) -> &[&'static Slot] {
        &self.slots
    }

    /// How many results were taken.
    #[inline]
    pub(crate) fn taken(&self) -> Count {
        self.base.plus(self.slots.len())
    }

    /// How many results can be taken, as far as is known.
    #[inline]
    pub(crate) fn results(&self) -> usize {
        self.most - self.slots.len()
    }

    /// So many results were delivered.
    #[inline]
    pub(crate) fn delivered(&mut self, count: Count) {
        self.most = self.slots.len() + count.since(self.taken());
    }

    /// Takes the next result's slot, which counts as empty from now on.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, there is a [result](Self::results), and whoever has the lane takes the
    /// result out before anything is put in.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, inbox: &Inbox) -> &'static Slot {
        // SAFETY: it was delivered, and not taken.
        let slot = unsafe { inbox.take(self.taken()) };
        let len = self.slots.len();
        debug_assert!(len < self.slots.capacity());
        let place = self.slots.as_mut_ptr().wrapping_add(len);
        // SAFETY: each slot is here once at most, and this one wasn't: so there is room for it.
        unsafe { place.write(slot) };
        // SAFETY: it was written just now.
        unsafe { self.slots.set_len(len + 1) };
        slot
    }

    /// As [`take`](Self::take), but the slot isn't kept.
    ///
    /// # Safety
    ///
    /// The inbox is the lane's, and there is a [result](Self::results).
    pub(crate) unsafe fn take_away(&mut self, inbox: &Inbox) -> &'static Slot {
        // SAFETY: it was delivered, and not taken.
        let slot = unsafe { inbox.take(self.taken()) };
        self.base = self.base.plus(1);
        self.most -= 1;
        slot
    }

    /// The first `n` slots aren't empty any more.
    #[inline]
    pub(crate) fn fill(&mut self, n: usize) {
        if n == self.slots.len() {
            self.slots.clear();
        } else {
            self.slots.drain(..n);
        }
        self.base = self.base.plus(n);
        self.most -= n;
    }

    /// Puts back a slot that wasn't delivered.
    pub(crate) fn put(&mut self, slot: &'static Slot) {
        self.slots.push(slot);
        self.base = self.base.minus(1);
        self.most += 1;
    }
}
