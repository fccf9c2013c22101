//! Looking for completions: takes those in the ring, without a system call and without waiting.
//!
//! A thread looks before it waits. Most often the ring then holds nothing but the event that the
//! thread looks for. That case has a short way of its own.

#![allow(unsafe_code, reason = "completes slots")]

use std::ptr::NonNull;

use crate::{
    engine::{
        complete::Own,
        inbox::{Delivery, Inbox},
        jobs::Jobs,
        leader::Lead,
        shared::Shared,
        slot::{Slot, untag},
    },
    sync::atomic::Ordering::Relaxed,
};

impl Shared {
    /// Takes the completions in the ring, unless another thread leads. Returns whether the slot is
    /// done.
    ///
    /// # Safety
    ///
    /// The caller has the slot's handle, and no other thread uses the handle meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn glance_for_slot(&self, slot: &Slot) -> bool {
        let take = |data, res| {
            // SAFETY: `glance` calls this as the leader, with an event that it takes if this
            // returns true. The caller has the slot's handle, and no other thread uses it.
            unsafe { slot.complete_own_event(data, res) }
        };
        self.glance(Own::slot(slot), take) || slot.is_done()
    }

    /// Takes the completions in the ring, unless another thread leads.
    ///
    /// # Safety
    ///
    /// The caller has the lane of this inbox, and no other thread uses the lane meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn glance_for_lane(&self, inbox: NonNull<Inbox<Slot>>) {
        let take = |data, res| {
            let (generation, index) = untag(data);
            let Some(slot) = self.slab.get(index) else {
                return false;
            };
            // SAFETY: `glance` calls this as the leader, with an event that it takes if this
            // returns true. So the caller is the completer of a slot that expects the event.
            if res < 0 || !slot.expects(generation) || unsafe { slot.inbox() } != Some(inbox) {
                return false;
            }
            // SAFETY: the caller is the completer of this slot, which expects this generation.
            unsafe { slot.finish(generation, res) };
            // SAFETY: the caller leads, and is the completer of a slot of this inbox's lane, which
            // isn't delivered yet.
            let mut delivery = unsafe { Delivery::new(inbox) };
            // SAFETY: the slot is one of this inbox's lane, its event is taken, and its result is
            // stored.
            unsafe { delivery.add(slot) };
            delivery.deliver_to_own();
            true
        };
        self.glance(Own::lane(inbox), take);
    }

    /// Takes the completions in the ring, unless another thread leads. If there is one event and
    /// `take` accepts it, nothing else is done, and this returns true.
    ///
    /// `take` is called with the role, and completes the slot of the event that it accepts.
    #[inline(always)]
    fn glance(&self, own: Own, take: impl FnOnce(u64, i64) -> bool) -> bool {
        let Some(ring) = &self.ring else {
            return false;
        };
        let Some(lead) = self.leadership.try_lead() else {
            return false;
        };
        // SAFETY: this thread leads, so nobody else reads the ring. Only the leader destroys the
        // context, and `dead` says that it wasn't destroyed.
        if self.dead.load(Relaxed) || !unsafe { ring.take_only(take) } {
            self.glance_at_all(lead, own);
            return false;
        }
        // MECHANISM: the count of an event that is taken alone
        // `self.gate.completed(1);` becomes nothing
        self.gate.completed(1);
        // MECHANISM: the hand-over of the role after an event that was taken alone
        // `|goal| self.reached(goal)` becomes `|_| true`
        lead.pass_on(|goal| self.reached(goal));
        true
    }

    /// Takes all completions in the ring, and runs the foreign code that follows from them.
    #[inline(never)]
    fn glance_at_all(&self, lead: Lead<'_>, own: Own) {
        let mut jobs = Jobs::new(self);
        if !self.dead.load(Relaxed) {
            let (_, completed) = self.reap_ring(&lead, own, &mut jobs);
            self.gate.completed(completed);
        }
        lead.pass_on(|goal| self.reached(goal));
        jobs.run_and_resume();
    }
}
