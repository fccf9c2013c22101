//! Submitting several requests in one system call.

#![allow(unsafe_code, reason = "hands slots to the kernel")]

use aio_sys::Errno;

use crate::{
    engine::{
        shared::Shared,
        slot::{Slot, iocbs},
    },
    error::QueueError,
};

/// What became of requests that were to be submitted together.
pub(crate) struct Answer {
    /// How many the kernel has accepted or refused, counted from the first.
    pub(crate) answered: usize,
    /// How many of those it has refused.
    pub(crate) refused: usize,
    /// Why the rest wasn't submitted.
    pub(crate) result: Result<(), QueueError>,
}

impl Shared {
    /// Submits a slot. It is in flight then, or completed: refused by the kernel.
    ///
    /// # Errors
    ///
    /// The slot is as it was.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot and filled it, and nobody else knows of it.
    pub(crate) unsafe fn submit_one(&self, slot: &Slot) -> Result<(), QueueError> {
        // SAFETY: the caller's promise.
        match unsafe { self.submit(&[slot]) } {
            Ok(()) => Ok(()),
            Err(answer) => answer.result,
        }
    }

    /// Submits slots, which are in flight then.
    ///
    /// # Errors
    ///
    /// What became of them if they weren't all accepted: each is in flight, or refused and completed, or as it was.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slots and filled them, and nobody else knows of them.
    #[inline(always)]
    pub(crate) unsafe fn submit(&self, slots: &[&Slot]) -> Result<(), Answer> {
        let len = slots.len();
        // Here, as a buffer's methods were the last foreign code that has run.
        if !self.process.is_current() {
            return Err(not_submitted(QueueError::Forked));
        }
        if !self.gate.enter(len) {
            self.exit_gate(len);
            return Err(not_submitted(QueueError::Closed));
        }
        for slot in slots {
            // SAFETY: it was claimed and filled.
            unsafe { slot.start() };
        }
        // SAFETY: the iocbs lie in slots that are the caller's, and point to payloads that stay there
        // until their events.
        let first = unsafe { self.kernel.io_submit(self.ctx, &iocbs(slots)) };
        // Out only now: while somebody is inside, nobody takes what is started for being in the kernel.
        if first == Ok(len) {
            self.exit_gate(0);
            return Ok(());
        }
        // SAFETY: the caller's promise, and this is what the kernel said.
        let answer = unsafe { self.submit_rest(slots, first) };
        self.exit_gate(answer.refused + len - answer.answered);
        Err(answer)
    }

    /// Goes on after a first `io_submit` that didn't accept all. What isn't answered in the end is no
    /// longer started.
    ///
    /// # Safety
    ///
    /// As [`submit`](Self::submit); the slots are started, and `result` is what the first call said of them.
    #[cold]
    unsafe fn submit_rest(&self, slots: &[&Slot], mut result: Result<usize, Errno>) -> Answer {
        let mut answer = Answer {
            answered: 0,
            refused: 0,
            result: Ok(()),
        };
        loop {
            let rest = slots.get(answer.answered..).unwrap_or_default();
            match result {
                Ok(n @ 1..) => answer.answered += n.min(rest.len()),
                Ok(0) | Err(Errno::EAGAIN) => {
                    answer.result = Err(QueueError::Again);
                    for slot in rest {
                        // SAFETY: the kernel didn't take it, and nobody knows of it.
                        unsafe { slot.unstart() };
                    }
                    return answer;
                }
                Err(errno) => {
                    let slot = rest.first().expect("something was to be submitted");
                    // SAFETY: the kernel refused it, and nobody knows of it.
                    unsafe { slot.refuse(errno) };
                    answer.answered += 1;
                    answer.refused += 1;
                }
            }
            let rest = slots.get(answer.answered..).unwrap_or_default();
            if rest.is_empty() {
                return answer;
            }
            // SAFETY: as for the first call.
            result = unsafe { self.kernel.io_submit(self.ctx, &iocbs(rest)) };
        }
    }
}

/// Nothing was submitted.
#[cold]
fn not_submitted(why: QueueError) -> Answer {
    Answer {
        answered: 0,
        refused: 0,
        result: Err(why),
    }
}
