//! What a lane submits in one `io_submit`.

#![allow(unsafe_code, reason = "fills slots and submits them")]

use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{Lane, Op, SubmitError, error::QueueError, lane::Tagged, op::ReadWrite};

/// Operations of a [`Lane`] that go to the kernel together, in one `io_submit`. Made by [`Lane::batch`].
///
/// Results can be taken meanwhile, and their places used again at once. Operations that were never submitted are
/// dropped with it, or taken back with [`pop`](Self::pop).
// A batch that is forgotten leaves its operations in slots that the lane takes for empty: they are leaked, and never
// submitted. Their files need not be open any more.
#[must_use = "operations that aren't submitted are dropped"]
pub struct LaneBatch<'l, P: ReadWrite, T: Send + 'static = ()> {
    lane: &'l mut Lane<P, T>,
    /// How many of the lane's slots are filled: the first ones, in the order in which they were pushed.
    pushed: usize,
    files: PhantomData<BorrowedFd<'l>>,
}

impl<'l, P: ReadWrite, T: Send + 'static> LaneBatch<'l, P, T> {
    #[inline]
    pub(crate) fn new(lane: &'l mut Lane<P, T>) -> Self {
        Self {
            lane,
            pushed: 0,
            files: PhantomData,
        }
    }

    /// Adds an operation on a file, which stays borrowed for as long as the batch lives, with a value that comes back
    /// with its result. The kernel hears of it in [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`QueueError::QueueFull`], with operation and value, when all of the lane's places are taken: by what was
    /// pushed, is in flight, or whose result wasn't taken.
    // Always: an operation is larger than what its slot needs of it.
    #[inline(always)]
    pub fn push<F: AsFd + ?Sized>(
        &mut self,
        file: &'l F,
        op: Op<P>,
        value: T,
    ) -> Result<(), SubmitError<(Op<P>, T)>> {
        // Before a place is taken: it may panic.
        let file = file.as_fd();
        // Nothing panics before it is in its slot. Without this the compiler would keep it in memory, to
        // be able to drop it.
        let op = ManuallyDrop::new(op);
        let value = ManuallyDrop::new(value);
        let Some(slot) = self.lane.places.empty().get(self.pushed) else {
            return Err(SubmitError {
                reason: QueueError::QueueFull,
                op: (
                    ManuallyDrop::into_inner(op),
                    ManuallyDrop::into_inner(value),
                ),
            });
        };
        let Op { payload, request } = ManuallyDrop::into_inner(op);
        let value = ManuallyDrop::into_inner(value);
        let payload = Tagged { payload, value };
        // SAFETY: the slot is the lane's, and empty.
        unsafe { slot.fill(file, Op { payload, request }) };
        self.pushed += 1;
        Ok(())
    }

    /// Submits everything that was pushed. The operations stand for themselves: where the kernel refuses one, its result
    /// says so, and the others are submitted all the same.
    ///
    /// As with [`Queue::submit`](crate::Queue::submit), some operations are carried out on the spot.
    ///
    /// # Errors
    ///
    /// When the kernel has no room for all, or the queue was closed, or after a fork. What wasn't submitted stays
    /// in the batch: call `submit` again, after [`QueueError::Again`] when something was reaped - with
    /// [`Queue::reap`](crate::Queue::reap), if nothing of this lane is in flight.
    #[doc(alias = "io_submit")]
    #[inline]
    pub fn submit(&mut self) -> Result<(), QueueError> {
        let shared = self.lane.queue.shared();
        let places = self.lane.places.empty();
        let pushed = places.get(..self.pushed).unwrap_or_default();
        if pushed.is_empty() {
            return if shared.process.is_current() {
                Ok(())
            } else {
                Err(QueueError::Forked)
            };
        }
        // SAFETY: they were filled, and nobody else has them.
        let submitted = unsafe { shared.submit(pushed) };
        let Err(answer) = submitted else {
            self.lane.accepted = self.lane.accepted.plus(self.pushed);
            self.lane.places.fill(self.pushed);
            self.pushed = 0;
            return Ok(());
        };
        self.submitted_in_part(answer.answered);
        answer.result
    }

    /// Sorts out the first `answered` slots, which were accepted or refused.
    #[cold]
    fn submitted_in_part(&mut self, answered: usize) {
        let lane = &mut *self.lane;
        for slot in lane.places.empty().iter().take(answered) {
            if slot.is_done() {
                // SAFETY: it is ours, nobody waits for it, and what is in it is taken before it is given back.
                unsafe { slot.retire() };
                lane.aside.push(slot);
            } else {
                lane.accepted = lane.accepted.plus(1);
            }
        }
        lane.places.fill(answered);
        self.pushed -= answered;
    }

    /// As [`Lane::try_take`].
    // Always: what is taken is to stay in registers.
    #[inline(always)]
    pub fn try_take(&mut self) -> Option<(T, P::Output)> {
        self.lane.try_take()
    }

    /// Drops what wasn't submitted.
    #[cold]
    fn discard(&mut self) {
        /// Goes on where a destructor has panicked.
        struct Rest<'b, 'l, P: ReadWrite, T: Send + 'static>(&'b mut LaneBatch<'l, P, T>);

        impl<P: ReadWrite, T: Send + 'static> Drop for Rest<'_, '_, P, T> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }

        let rest = Rest(self);
        while rest.0.pop().is_some() {}
    }

    /// Takes back the operation that was pushed last, and its value.
    pub fn pop(&mut self) -> Option<(Op<P>, T)> {
        self.pushed = self.pushed.checked_sub(1)?;
        let slot = self.lane.places.empty().get(self.pushed)?;
        // SAFETY: the slot is the lane's, filled by `push`, and not started.
        let Op { payload, request } = unsafe { slot.unfill::<Tagged<P, T>>() };
        let Tagged { payload, value } = payload;
        Some((Op { payload, request }, value))
    }

    /// How many operations are in the batch, not yet submitted.
    #[inline]
    pub fn len(&self) -> usize {
        self.pushed
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pushed == 0
    }

    /// How many more can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        self.lane.room() - self.pushed
    }
}

impl<P: ReadWrite, T: Send + 'static> Drop for LaneBatch<'_, P, T> {
    #[inline]
    fn drop(&mut self) {
        if self.pushed > 0 {
            self.discard();
        }
    }
}

impl<P: ReadWrite, T: Send + 'static> fmt::Debug for LaneBatch<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneBatch")
            .field("len", &self.len())
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}
