//! Cancelling operations.

#![allow(unsafe_code, reason = "names a request to the kernel by its address")]

use aio_sys::Errno;

use crate::{
    engine::{shared::Shared, slot::Slot},
    op::CancelOutcome,
};

impl Shared {
    /// Asks the kernel to cancel what is in a slot.
    ///
    /// # Errors
    ///
    /// What `io_cancel` said, where that isn't an outcome: EPERM or ENOSYS from a filter on system
    /// calls.
    pub(crate) fn cancel(&self, slot: &Slot) -> Result<CancelOutcome, Errno> {
        if !self.gate.enter(0) {
            // Whoever closes the queue cancels everything that can be.
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

    /// As [`cancel`](Self::cancel), where something keeps the context from being destroyed.
    fn cancel_inside(&self, slot: &Slot) -> Result<CancelOutcome, Errno> {
        let cancellable = slot.is_cancellable();
        // SAFETY: the iocb lies in the slab, which stays. The kernel reads its key, which is 0 in every
        // iocb, and else only compares the address.
        match unsafe { self.kernel.io_cancel(self.ctx, slot.iocb()) } {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(CancelOutcome::Cancelled),
            Err(Errno::EINVAL) if cancellable || slot.is_done() => Ok(CancelOutcome::TooLate),
            Err(Errno::EINVAL) => Ok(CancelOutcome::NotCancellable),
            Err(errno) => Err(errno),
        }
    }

    /// Cancels everything in flight that can be: else a poll that is never ready would keep a closing
    /// queue waiting for ever. The gate is closed, and the caller is the one to destroy the context.
    /// Returns false when `io_cancel` is forbidden.
    pub(crate) fn cancel_all(&self) -> bool {
        let mut slots = (0..self.slab.depth()).filter_map(|index| self.slab.get(index));
        slots.all(|slot| !slot.is_cancellable() || self.cancel_inside(slot).is_ok())
    }

    /// Whether what is in flight, if anything is, could be cancelled. The caller leads, and nobody is
    /// inside the gate.
    pub(crate) fn only_polls_are_in_flight(&self) -> bool {
        let mut slots = (0..self.slab.depth()).filter_map(|index| self.slab.get(index));
        slots.all(|slot| !slot.is_in_flight() || slot.is_cancellable())
    }
}
