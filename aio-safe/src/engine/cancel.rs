//! Cancelling operations.

#![allow(unsafe_code, reason = "names a request to the kernel by its address")]

use aio_sys::Errno;

use crate::engine::{shared::Shared, slot::Slot};

/// What became of the attempt to cancel an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cancel {
    /// It was cancelled. Its result comes as usual: a cancelled poll tells of nothing.
    Cancelled,
    /// It is over, or about to be: its result comes as if nobody had tried.
    TooLate,
    /// The kernel can't cancel operations of this kind, and goes on with it. That is the truth for
    /// every read, write and sync of files and block devices; only polls can be cancelled.
    NotCancellable,
}

impl Shared {
    /// Asks the kernel to cancel what is in a slot.
    ///
    /// # Errors
    ///
    /// What `io_cancel` said, where that isn't one of the answers above: EPERM or ENOSYS from a filter
    /// on system calls.
    pub(crate) fn cancel(&self, slot: &Slot) -> Result<Cancel, Errno> {
        if !self.gate.enter(0) {
            // Whoever closes the queue cancels everything that can be.
            self.exit_gate(0);
            return Ok(if slot.is_cancellable() {
                Cancel::Cancelled
            } else {
                Cancel::NotCancellable
            });
        }
        let answer = self.cancel_inside(slot);
        self.exit_gate(0);
        answer
    }

    /// As [`cancel`](Self::cancel), where something keeps the context from being destroyed.
    fn cancel_inside(&self, slot: &Slot) -> Result<Cancel, Errno> {
        let cancellable = slot.is_cancellable();
        // SAFETY: the iocb lies in the slab, which stays. The kernel reads its key, which is 0 in every
        // iocb, and else only compares the address.
        match unsafe { self.kernel.io_cancel(self.ctx, slot.iocb()) } {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Cancel::Cancelled),
            Err(Errno::EINVAL) if cancellable || slot.is_done() => Ok(Cancel::TooLate),
            Err(Errno::EINVAL) => Ok(Cancel::NotCancellable),
            Err(errno) => Err(errno),
        }
    }

    /// Cancels everything in flight that can be: else a poll that is never ready would keep a closing
    /// queue waiting for ever. The gate is closed, and the caller is the one to destroy the context.
    pub(crate) fn cancel_all(&self) {
        for index in 0..self.slab.depth() {
            if let Some(slot) = self.slab.get(index).filter(|slot| slot.is_cancellable()) {
                // Where cancelling is forbidden, there is nothing left but to wait.
                let _ = self.cancel_inside(slot);
            }
        }
    }
}
