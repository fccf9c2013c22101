//! A lane's batch: the operations that a lane submits in one `io_submit`.

#![allow(unsafe_code, reason = "fills slots and submits them")]

use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{Lane, Op, SubmitError, error::QueueError, lane::Tagged, op::ReadWrite};

/// Operations of a [`Lane`] that go to the kernel together, in one `io_submit`. Made by
/// [`Lane::batch`].
///
/// While the batch is open, its [`try_take`](Self::try_take) takes results, and
/// [`push`](Self::push) can use their slots at once.
///
/// # Dropping
///
/// Dropping a batch submits nothing. Operations that are still in it become results of the lane:
/// [`Refused`](crate::OpError::Refused) with ECANCELED, with their buffers and values. So a loop
/// that takes results until nothing is in flight gets them. Use [`pop`](Self::pop) to take them
/// back instead, or [`clear`](Self::clear) to drop them.
///
/// If a batch is forgotten ([`std::mem::forget`]), its operations are leaked and never submitted.
// The operations of a forgotten batch stay in slots that the lane treats as empty. They must not be
// submitted later, because their files may be closed by then.
#[must_use = "operations that aren't submitted come back as refused"]
pub struct LaneBatch<'l, P: ReadWrite, T: Send + 'static = ()> {
    lane: &'l mut Lane<P, T>,
    /// How many operations were pushed. They are in the first of the lane's resting slots, in their
    /// order.
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

    /// Adds an operation on a file, with a value that comes back with its result. The file stays
    /// borrowed for as long as the batch lives. [`submit`](Self::submit) passes the operation to
    /// the kernel.
    ///
    /// # Errors
    ///
    /// [`QueueError::QueueFull`], with operation and value, when none of the lane's slots is empty.
    /// They hold operations that were pushed or are in flight, or results that weren't taken.
    // Always inlined: an operation is larger than the part of it that its slot stores.
    #[inline(always)]
    pub fn push<F: AsFd + ?Sized>(
        &mut self,
        file: &'l F,
        op: Op<P>,
        value: T,
    ) -> Result<(), SubmitError<(Op<P>, T)>> {
        // `as_fd` is the caller's code and may panic, so it runs before a slot is taken.
        let file = file.as_fd();
        // Nothing panics before the operation is in its slot, so it needs no destructor here. With
        // one, the compiler would keep the operation in memory.
        let op = ManuallyDrop::new(op);
        let value = ManuallyDrop::new(value);
        let Some(slot) = self.lane.empty_slot(self.pushed) else {
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
        let op = Op { payload, request };
        let nowait = self.lane.queue.shared().nowait;
        // SAFETY: the lane has claimed the slot and set its payload's type. The slot is a resting
        // one beyond those that were pushed, so nothing is in it.
        unsafe { slot.fill(file, op, nowait) };
        self.pushed += 1;
        Ok(())
    }

    /// Submits everything that was pushed. If the kernel refuses one operation, its result is the
    /// error, and the others are submitted all the same.
    ///
    /// As with [`Queue::submit`](crate::Queue::submit), the kernel carries out some operations
    /// within `io_submit`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Again`] when the kernel has no room for all, [`Closed`](QueueError::Closed)
    /// and [`Forked`](QueueError::Forked). What wasn't submitted stays in the batch. After `Again`,
    /// reap completions and call `submit` again. The lane's own methods can't be called while the
    /// batch is open, so reap with [`Queue::reap`](crate::Queue::reap).
    #[doc(alias = "io_submit")]
    #[inline(always)]
    pub fn submit(&mut self) -> Result<(), QueueError> {
        match self.lane.submit(self.pushed) {
            Ok(()) => {
                self.pushed = 0;
                Ok(())
            }
            Err((answered, reason)) => {
                self.pushed -= answered;
                reason
            }
        }
    }

    /// As [`Lane::try_take`].
    // Always inlined, so the result stays in registers.
    #[inline(always)]
    pub fn try_take(&mut self) -> Option<(T, P::Output)> {
        self.lane.try_take()
    }

    /// Takes back the operation that was pushed last, and its value.
    pub fn pop(&mut self) -> Option<(Op<P>, T)> {
        self.pushed = self.pushed.checked_sub(1)?;
        let slot = self.lane.empty_slot(self.pushed)?;
        // SAFETY: the lane has claimed the slot, and `push` filled it with this type. The slots
        // that `submit` leaves in the batch aren't started.
        let Op { payload, request } = unsafe { slot.unfill::<Tagged<P, T>>() };
        let Tagged { payload, value } = payload;
        Some((Op { payload, request }, value))
    }

    /// Drops the operations that are in the batch, and their values.
    ///
    /// # Panics
    ///
    /// When a destructor panics. The other operations are dropped first.
    pub fn clear(&mut self) {
        /// Drops the rest if a destructor panics.
        struct Rest<'b, 'l, P: ReadWrite, T: Send + 'static>(&'b mut LaneBatch<'l, P, T>);

        impl<P: ReadWrite, T: Send + 'static> Drop for Rest<'_, '_, P, T> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }

        let rest = Rest(self);
        while rest.0.pop().is_some() {}
    }

    /// How many operations are in the batch, not yet submitted.
    #[inline]
    pub fn len(&self) -> usize {
        self.pushed
    }

    /// Whether the batch is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pushed == 0
    }

    /// How many more operations can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        self.lane.room() - self.pushed
    }
}

impl<P: ReadWrite, T: Send + 'static> Drop for LaneBatch<'_, P, T> {
    #[inline]
    fn drop(&mut self) {
        if self.pushed > 0 {
            self.lane.refuse(self.pushed);
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
