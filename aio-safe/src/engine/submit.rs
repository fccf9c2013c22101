//! Submitting: hands slots to the kernel, as many as possible in one `io_submit`.

#![allow(unsafe_code, reason = "hands slots to the kernel")]

use aio_sys::Errno;

use crate::{
    engine::{
        shared::Shared,
        slot::{Slot, iocbs},
        trace::{self, Time},
    },
    error::QueueError,
};

/// The kernel's answer to a batch that it didn't accept as a whole.
pub(crate) struct Answer {
    /// How many requests the kernel has accepted or refused. These come first in the batch.
    pub(crate) answered: usize,
    /// How many of those the kernel has refused.
    pub(crate) refused: usize,
    /// The reason why the rest wasn't submitted, if there is a rest.
    pub(crate) result: Result<(), QueueError>,
}

impl Shared {
    /// Submits a slot. Afterwards it is in flight, or completed because the kernel refused the
    /// request.
    ///
    /// # Errors
    ///
    /// The request wasn't submitted. The slot is still claimed and filled.
    ///
    /// # Safety
    ///
    /// The caller has claimed and filled the slot, and no handle is in use.
    #[inline(always)]
    pub(crate) unsafe fn submit_one(&self, slot: &Slot) -> Result<(), QueueError> {
        // SAFETY: the caller has claimed and filled the slot, and no handle is in use.
        match unsafe { self.submit(&[slot]) } {
            Ok(()) => Ok(()),
            Err(answer) => answer.result,
        }
    }

    /// Submits slots. Afterwards all of them are in flight.
    ///
    /// # Errors
    ///
    /// Not all requests were accepted. Then each slot is in flight; or completed, because the
    /// kernel refused its request; or still claimed and filled.
    ///
    /// # Safety
    ///
    /// The caller has claimed and filled the slots, and no handles are in use: each is used only
    /// after this has returned, or after the waker was woken that was stored in the slot before.
    #[inline(always)]
    pub(crate) unsafe fn submit(&self, slots: &[&Slot]) -> Result<(), Answer> {
        let len = slots.len();
        let now = trace::now();
        // This check comes after the slots were filled, because a buffer's method may have forked
        // then.
        if !self.process.is_current() {
            return Err(not_submitted(QueueError::Forked));
        }
        if !self.gate.enter(len) {
            return Err(self.leave_closed_gate(len));
        }
        for slot in slots {
            // SAFETY: the caller has claimed and filled this slot.
            unsafe { slot.start(now) };
        }
        // SAFETY: the iocbs lie in slots that the caller has claimed, so nobody else uses them
        // during the call. They point to buffers that the payloads own. The payloads stay in their
        // slots until the requests are completed. This thread is inside the gate, so the context
        // isn't destroyed.
        let first = unsafe { self.kernel.io_submit(self.ctx, &iocbs(slots)) };
        // The thread leaves the gate only after the call. So while no thread is inside, each slot
        // in flight is a request that the kernel has.
        if first == Ok(len) {
            self.exit_gate(0);
            trace::submitted(now, len);
            return Ok(());
        }
        // SAFETY: the caller has claimed and filled the slots, and no handles are in use. All of
        // them are started, and `first` is what `io_submit` returned for them.
        Err(unsafe { self.submitted_in_part(slots, first, now) })
    }

    /// The answer if the gate was closed when this thread entered it with `len` requests.
    #[cold]
    fn leave_closed_gate(&self, len: usize) -> Answer {
        self.exit_gate(len);
        trace::not_submitted(len, QueueError::Closed);
        not_submitted(QueueError::Closed)
    }

    /// Submits the rest, and leaves the gate.
    ///
    /// # Safety
    ///
    /// As [`submit_rest`](Self::submit_rest) requires.
    #[cold]
    unsafe fn submitted_in_part(
        &self,
        slots: &[&Slot],
        first: Result<usize, Errno>,
        now: Time,
    ) -> Answer {
        let mut refused = Vec::new();
        // SAFETY: the caller has claimed, filled and started the slots, and no handles are in use.
        // `first` is what `io_submit` returned for them.
        let answer = unsafe { self.submit_rest(slots, first, &mut refused) };
        if answer.refused > 0 {
            self.counters.refused.add(answer.refused);
        }
        self.exit_gate(answer.refused + slots.len() - answer.answered);
        trace::submitted(now, answer.answered - answer.refused);
        // SAFETY: these slots were refused just now. Their handles aren't in use: no wakers of
        // theirs were woken, and the caller makes no handles before it has the answer.
        trace::refused(refused.iter().filter_map(|slot| unsafe { slot.refusal() }));
        if let Err(reason) = answer.result {
            trace::not_submitted(slots.len() - answer.answered, reason);
        }
        // A subscriber may have forked. Then the operations are the parent's.
        if self.process.is_current() {
            for slot in refused {
                // SAFETY: `submit_rest` has refused the request in this slot. Nobody uses its
                // handle before the waker is woken, or the caller has the answer.
                if let Some(waker) = unsafe { slot.take_waker_of_refused() } {
                    waker.wake();
                }
            }
        }
        answer
    }

    /// Goes on after an `io_submit` that didn't accept all requests. In the end the slots without
    /// an answer are claimed and filled again, and not started. Lists the slots whose requests the
    /// kernel has refused.
    ///
    /// # Safety
    ///
    /// The caller has claimed, filled and started the slots, and no handles are in use. `result` is
    /// what the first `io_submit` returned for them.
    unsafe fn submit_rest<'s>(
        &self,
        slots: &[&'s Slot],
        mut result: Result<usize, Errno>,
        refused: &mut Vec<&'s Slot>,
    ) -> Answer {
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
                        // SAFETY: the slot was started, no handle is in use, and the kernel took
                        // only requests before this one.
                        unsafe { slot.unstart() };
                    }
                    return answer;
                }
                Err(errno) => {
                    let slot = rest.first().expect("something was to be submitted");
                    // SAFETY: the slot was started, and the kernel refused this request: it is the
                    // first one that wasn't accepted.
                    if !unsafe { slot.submit_again(-i64::from(errno.raw())) } {
                        // SAFETY: the slot was started, no handle is in use, and the kernel refused
                        // this request.
                        unsafe { slot.refuse(errno) };
                        answer.answered += 1;
                        answer.refused += 1;
                        refused.push(slot);
                    }
                }
            }
            let rest = slots.get(answer.answered..).unwrap_or_default();
            if rest.is_empty() {
                return answer;
            }
            // SAFETY: these slots are claimed, filled and started, and the kernel hasn't taken
            // their requests. Iocbs and buffers stay where they are, as in the first call, and this
            // thread is still inside the gate.
            result = unsafe { self.kernel.io_submit(self.ctx, &iocbs(rest)) };
        }
    }
}

/// The answer if nothing was submitted.
#[cold]
fn not_submitted(why: QueueError) -> Answer {
    Answer {
        answered: 0,
        refused: 0,
        result: Err(why),
    }
}
