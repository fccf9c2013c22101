//! Completing: what a turn of the reaper does with each result.

#![allow(unsafe_code, reason = "completes slots")]

use std::ptr::{self, NonNull};

use crate::engine::{
    inbox::{Delivery, Inbox},
    jobs::Jobs,
    slot::{Completed, Slot},
};

/// What is the completer's own: the slot of a handle, or the inbox of a lane. Nobody else waits for it or takes it
/// meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own(*const ());

impl Own {
    pub(crate) const NOTHING: Self = Self(ptr::null());

    #[inline]
    pub(crate) fn slot(slot: *const Slot) -> Self {
        Self(slot.cast())
    }

    #[inline]
    pub(crate) fn lane(inbox: NonNull<Inbox<Slot>>) -> Self {
        Self(inbox.as_ptr().cast_const().cast())
    }
}

/// Hands each result to whoever has the slot, and keeps what is left to do. To be [ended](Self::end).
pub(crate) struct Completer<'j, 's> {
    own: Own,
    jobs: &'j mut Jobs<'s>,
    /// What goes to the lane whose operation was completed last.
    delivery: Option<Delivery<Slot>>,
}

impl<'j, 's> Completer<'j, 's> {
    /// The caller leads, until the end.
    #[inline(always)]
    pub(crate) fn new(own: Own, jobs: &'j mut Jobs<'s>) -> Self {
        Self {
            own,
            jobs,
            delivery: None,
        }
    }

    /// Completes a slot. A lane gets it later, at the end at the latest.
    ///
    /// # Safety
    ///
    /// The caller leads, and is the completer of the slot, which expects a completion of this generation. What is
    /// said to be its own is.
    #[inline(always)]
    pub(crate) unsafe fn complete(&mut self, slot: &Slot, generation: u32, res: i64) {
        // SAFETY: the caller's promise.
        if let Some(inbox) = unsafe { slot.inbox() } {
            // SAFETY: as above.
            unsafe { slot.finish(generation, res) };
            // SAFETY: as above.
            unsafe { self.put(inbox, slot) };
            return;
        }
        let completed = if self.own == Own::slot(slot) {
            // SAFETY: as above; and the caller has the slot's handle.
            unsafe { slot.complete_own(res) }
        } else {
            // SAFETY: as above.
            unsafe { slot.complete(res) }
        };
        if !matches!(completed, Completed::Quietly) {
            self.jobs.completed(slot.index(), completed);
        }
    }

    /// Puts a slot whose result is in it in its lane's inbox.
    ///
    /// # Safety
    ///
    /// As [`complete`](Self::complete), and the inbox is the slot's.
    #[inline(always)]
    unsafe fn put(&mut self, inbox: NonNull<Inbox<Slot>>, slot: &Slot) {
        let mut delivery = match self.delivery.take() {
            Some(delivery) if delivery.inbox() == inbox => delivery,
            // SAFETY: the slot isn't delivered yet.
            before => unsafe { next_delivery(self.own, self.jobs, before, inbox) },
        };
        // SAFETY: the caller's promise.
        unsafe { delivery.add(slot) };
        self.delivery = Some(delivery);
    }

    /// Hands over what wasn't yet.
    #[inline(always)]
    pub(crate) fn end(self) {
        if let Some(delivery) = self.delivery {
            deliver(self.own, self.jobs, delivery);
        }
    }
}

/// Hands over what was put in another inbox before, and begins with this one.
///
/// # Safety
///
/// As [`Delivery::new`].
#[cold]
unsafe fn next_delivery(
    own: Own,
    jobs: &mut Jobs<'_>,
    before: Option<Delivery<Slot>>,
    inbox: NonNull<Inbox<Slot>>,
) -> Delivery<Slot> {
    if let Some(before) = before {
        deliver(own, jobs, before);
    }
    // SAFETY: the caller's promise.
    unsafe { Delivery::new(inbox) }
}

#[inline]
fn deliver(own: Own, jobs: &mut Jobs<'_>, delivery: Delivery<Slot>) {
    if own == Own::lane(delivery.inbox()) {
        delivery.deliver_to_own();
        return;
    }
    if let Some(left) = delivery.deliver(|waker| jobs.wake(waker)) {
        jobs.discard(left);
    }
}
