//! Cancelling operations.

#![allow(unsafe_code, reason = "names a request to the kernel by its address")]

use aio_sys::Errno;

use crate::{
    engine::{shared::Shared, slot::Slot},
    op::CancelOutcome,
};

impl Shared {
    /// Asks the kernel to cancel the request in a slot.
    ///
    /// # Errors
    ///
    /// The errno of `io_cancel` if it says nothing about the request: EPERM or ENOSYS from a filter
    /// on system calls.
    pub(crate) fn cancel(&self, slot: &Slot) -> Result<CancelOutcome, Errno> {
        if !self.gate.enter(0) {
            // The gate is closed. The thread that closes the queue cancels all polls.
            self.exit_gate(0);
            return Ok(if slot.is_cancellable() {
                CancelOutcome::Cancelled
            } else {
                CancelOutcome::NotCancellable
            });
        }
        let answer = self.cancel_inside(slot);
        self.exit_gate(0);
        answer
    }

    /// As [`cancel`](Self::cancel). The caller is inside the gate, so the context isn't destroyed
    /// meanwhile. Or the caller closes the queue: then a leader that gives up may destroy the
    /// context meanwhile, and `io_cancel` fails with EINVAL.
    fn cancel_inside(&self, slot: &Slot) -> Result<CancelOutcome, Errno> {
        let cancellable = slot.is_cancellable();
        // SAFETY: the iocb lies in the slab, so it is readable. The kernel reads only its key,
        // which is 0 in every iocb, and compares the address.
        match unsafe { self.kernel.io_cancel(self.ctx, slot.iocb()) } {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(CancelOutcome::Cancelled),
            Err(Errno::EINVAL) if cancellable || slot.is_done() => Ok(CancelOutcome::TooLate),
            Err(Errno::EINVAL) => Ok(CancelOutcome::NotCancellable),
            Err(errno) => Err(errno),
        }
    }

    /// Cancels all polls, because a closing queue would wait for ever for a poll that is never
    /// ready. Returns false if a poll may not have been cancelled: it may be over, or `io_cancel`
    /// may be forbidden. The gate is closed, and the caller is the thread that closes the queue.
    pub(crate) fn cancel_all(&self) -> bool {
        let slots = (0..self.slab.depth()).filter_map(|index| self.slab.get(index));
        let mut all_cancelled = true;
        for slot in slots.filter(|slot| slot.is_cancellable()) {
            // All of them are cancelled, even if one couldn't be.
            all_cancelled &= self.cancel_inside(slot) == Ok(CancelOutcome::Cancelled);
        }
        all_cancelled
    }

    /// Whether everything in flight can be cancelled, or nothing is in flight. The caller leads,
    /// and nobody is inside the gate.
    pub(crate) fn only_polls_are_in_flight(&self) -> bool {
        let mut slots = (0..self.slab.depth()).filter_map(|index| self.slab.get(index));
        slots.all(|slot| !slot.is_in_flight() || slot.is_cancellable())
    }
}
