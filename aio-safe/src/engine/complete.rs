//! Completing: storing each result that a turn takes, and handing it over.

#![allow(unsafe_code, reason = "completes slots")]

use std::ptr::{self, NonNull};

use crate::engine::{
    inbox::{Delivery, Inbox},
    jobs::Jobs,
    slot::{Completed, Slot},
};

/// The slot of a handle, or the inbox of a lane, that the completer's own thread has. No other
/// thread uses that handle or lane meanwhile.
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

/// Hands each result over to the slot's handle or lane, and collects the jobs that follow from it.
/// [`end`](Self::end) must be called.
pub(crate) struct Completer<'j, 's> {
    own: Own,
    jobs: &'j mut Jobs<'s>,
    /// Completions for the lane whose slot was completed last.
    delivery: Option<Delivery<Slot>>,
}

impl<'j, 's> Completer<'j, 's> {
    /// The caller leads until [`end`](Self::end).
    #[inline(always)]
    pub(crate) fn new(own: Own, jobs: &'j mut Jobs<'s>) -> Self {
        Self {
            own,
            jobs,
            delivery: None,
        }
    }

    /// Completes a slot. A lane's completion is delivered later, at the latest by
    /// [`end`](Self::end).
    ///
    /// # Safety
    ///
    /// The caller leads, and is the completer of the slot, which expects a completion of this
    /// generation. The `own` that [`new`](Self::new) got belongs to the caller's thread.
    #[inline(always)]
    pub(crate) unsafe fn complete(&mut self, slot: &Slot, generation: u32, res: i64) {
        // SAFETY: the caller is the completer of this slot, which expects this completion.
        if let Some(inbox) = unsafe { slot.inbox() } {
            // SAFETY: the caller is the completer of this slot, which expects this completion in
            // this generation.
            unsafe { slot.finish(generation, res) };
            // SAFETY: the caller leads, and took this slot's event. The slot is in that inbox's
            // lane, and its result was stored just now.
            unsafe { self.put(inbox, slot) };
            return;
        }
        let completed = if self.own == Own::slot(slot) {
            // SAFETY: the caller is the completer of this slot, which expects this completion.
            // `own` says that the slot's handle belongs to the caller's thread.
            unsafe { slot.complete_own(res) }
        } else {
            // SAFETY: the caller is the completer of this slot, which expects this completion.
            unsafe { slot.complete(res) }
        };
        if !matches!(completed, Completed::Quietly) {
            self.jobs.completed(slot.index(), completed);
        }
    }

    /// Puts a slot in its lane's inbox.
    ///
    /// # Safety
    ///
    /// The caller leads, and is the completer of the slot, whose result is stored. The inbox is
    /// that of the slot's lane.
    #[inline(always)]
    unsafe fn put(&mut self, inbox: NonNull<Inbox<Slot>>, slot: &Slot) {
        let mut delivery = match self.delivery.take() {
            Some(delivery) if delivery.inbox() == inbox => delivery,
            // SAFETY: the caller leads, and is the completer of a slot of this inbox's lane, which
            // isn't delivered yet.
            before => unsafe { next_delivery(self.own, self.jobs, before, inbox) },
        };
        // SAFETY: the slot is one of this inbox's lane, its event was taken, and its result is
        // stored.
        unsafe { delivery.add(slot) };
        self.delivery = Some(delivery);
    }

    /// Delivers the completions that aren't delivered yet.
    #[inline(always)]
    pub(crate) fn end(self) {
        if let Some(delivery) = self.delivery {
            deliver(self.own, self.jobs, delivery);
        }
    }
}

/// Delivers the completions of another lane, and begins a delivery to this one.
///
/// # Safety
///
/// The caller leads, and is the completer of a slot of this inbox's lane, which isn't delivered
/// yet.
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
    // SAFETY: the caller leads, and is the completer of a slot of this inbox's lane, which isn't
    // delivered yet.
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
