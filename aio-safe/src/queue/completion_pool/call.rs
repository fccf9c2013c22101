//! One operation of a pool, and the function that gets its result.
//!
//! A call is the waker in its operation's slot, where it is stored before the operation is
//! submitted. So the thread that reaps puts every call in the list of [due](super::due) functions,
//! in the order in which the operations were completed. A waker that is stored after the submission
//! would sometimes come too late for that.

#![allow(
    unsafe_code,
    reason = "fills slots, submits them, and takes operations back out"
)]

use std::{
    mem,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Wake, Waker},
    thread,
};

use super::crew::Crew;
use crate::{
    Op, Pending, SubmitError,
    engine::slot::Slot,
    op::Payload,
    sync::{Mutex, lock},
};

/// A call of any type.
pub(super) trait Call: Send + Sync {
    /// Calls the function.
    ///
    /// # Panics
    ///
    /// When the function does. Also when a method of the buffer does, or when the operation is lost
    /// because the context is broken. Then the function isn't called.
    fn make(&self);

    /// Takes the result out of the slot, and keeps it for the function. A panic of a buffer's
    /// method is kept too.
    fn settle(&self);

    /// Drops an operation that isn't submitted, and its function. Frees the slot.
    ///
    /// # Panics
    ///
    /// When a destructor does, of the buffer or of the function.
    ///
    /// # Safety
    ///
    /// As [`CallOf::take_back`] requires.
    unsafe fn discard(&self, slot: &Slot);
}

/// Submits an operation in a slot that was claimed for it.
pub(super) fn submit<P, F>(
    crew: &Arc<Crew>,
    index: u32,
    file: BorrowedFd<'_>,
    op: Op<P>,
    key: Option<u64>,
    function: F,
) -> Result<(), SubmitError<(Op<P>, F)>>
where
    P: Payload,
    F: FnOnce(P::Output) + Send + 'static,
{
    let shared = crew.queue.shared();
    let slot = shared.slab.claimed(index);
    // SAFETY: the slot was claimed for this operation. It is submitted below, or the operation is
    // taken back.
    let call = unsafe { CallOf::put(crew, slot, file, op, key, function) };
    crew.submits(1);
    // SAFETY: the slot was claimed and filled. Its handle is in the call, which uses it when its
    // waker is woken.
    let Err(answer) = (unsafe { shared.submit(&[slot]) }) else {
        return Ok(());
    };
    if answer.refused > 0 {
        crew.look_at_refused();
    }
    answer.result.map_err(|reason| {
        crew.not_submitted(1);
        SubmitError {
            reason,
            // SAFETY: `put` has made the call for this slot. `submit` returned an error, so the
            // slot isn't started. This is the last use of both.
            op: unsafe { call.take_back(slot) },
        }
    })
}

/// A call: see the [module](self).
pub(super) struct CallOf<P: Payload, F> {
    crew: Arc<Crew>,
    key: Option<u64>,
    stage: Mutex<Stage<P, F>>,
}

enum Stage<P: Payload, F> {
    /// The operation isn't over, or its result is in the slot.
    Pending(Pending<P>, F),
    /// The result was taken out of the slot. It is the panic, if that failed.
    Settled(thread::Result<P::Output>, F),
    /// The function was called, or the operation was taken back.
    Over,
}

impl<P: Payload, F: FnOnce(P::Output) + Send + 'static> CallOf<P, F> {
    /// Puts an operation in a slot, with a call as its waker.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer's method that returns its address. The slot is freed then.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, which is one of the crew's queue, and put nothing in it
    /// since. It submits the slot, or takes the operation [back](Self::take_back).
    pub(super) unsafe fn put(
        crew: &Arc<Crew>,
        slot: &Slot,
        file: BorrowedFd<'_>,
        op: Op<P>,
        key: Option<u64>,
        function: F,
    ) -> Arc<Self> {
        // SAFETY: the caller has claimed the slot and put nothing in it since. The crew's queue
        // keeps the shared part.
        unsafe { crew.queue.shared().fill(slot, file, op) };
        // SAFETY: the slot was filled with a `P` just now, and gets no other handle. The handle is
        // used when the waker below is woken, which is when the slot is completed. If the slot
        // isn't submitted, `take_back` forgets the handle.
        let pending = unsafe { Pending::new(crew.queue.shared(), slot) };
        let call = Arc::new(Self {
            crew: Arc::clone(crew),
            key,
            stage: Mutex::new(Stage::Pending(pending, function)),
        });
        // SAFETY: the caller has claimed the slot, and it isn't started.
        let stored = unsafe { slot.register(&Waker::from(Arc::clone(&call))) };
        debug_assert!(stored, "a slot that isn't started isn't completed");
        call
    }

    /// Takes the operation and the function back, and frees the slot.
    ///
    /// # Safety
    ///
    /// [`put`](Self::put) has made this call for this slot, which isn't started. The caller uses
    /// neither of them again.
    pub(super) unsafe fn take_back(&self, slot: &Slot) -> (Op<P>, F) {
        // SAFETY: the caller has claimed the slot, which isn't started.
        unsafe { slot.unregister() };
        let Stage::Pending(pending, function) = mem::replace(&mut *lock(&self.stage), Stage::Over)
        else {
            unreachable!("only a completed operation is settled or called");
        };
        // It isn't the handle of anything: the operation wasn't submitted.
        mem::forget(pending);
        // SAFETY: `put` has filled the slot with a `P`. The caller has claimed it, and it isn't
        // started.
        let op = unsafe { slot.unfill() };
        // SAFETY: payload and waker were taken out of the slot above, and the caller doesn't use it
        // again. The crew's queue keeps the shared part.
        unsafe { self.crew.queue.shared().free_held(slot.index()) };
        (op, function)
    }
}

impl<P: Payload, F: FnOnce(P::Output) + Send + 'static> Call for CallOf<P, F> {
    fn make(&self) {
        let stage = mem::replace(&mut *lock(&self.stage), Stage::Over);
        let (result, function) = match stage {
            Stage::Pending(pending, function) => (try_take(pending), function),
            Stage::Settled(result, function) => (result, function),
            Stage::Over => unreachable!("a function is called once"),
        };
        match result {
            Ok(output) => function(output),
            Err(panic) => {
                // Its destructor may panic as well, which would abort the process during a panic.
                mem::forget(catch_unwind(AssertUnwindSafe(|| drop(function))));
                resume_unwind(panic);
            }
        }
    }

    fn settle(&self) {
        // The lock is held while the result is taken: a thread that is to call the function
        // meanwhile needs the result.
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Pending(pending, function) => {
                *stage = Stage::Settled(try_take(pending), function);
            }
            other => *stage = other,
        }
    }

    unsafe fn discard(&self, slot: &Slot) {
        // SAFETY: `put` has made this call for this slot, which isn't started. The caller uses
        // neither of them again.
        drop(unsafe { self.take_back(slot) });
    }
}

/// Takes the result of an operation that is over. A method of its buffer may panic.
fn try_take<P: Payload>(pending: Pending<P>) -> thread::Result<P::Output> {
    catch_unwind(AssertUnwindSafe(|| match pending.try_take() {
        Ok(output) => output,
        Err(_) => unreachable!("a call is due when its result is there"),
    }))
}

impl<P: Payload, F: FnOnce(P::Output) + Send + 'static> Wake for CallOf<P, F> {
    fn wake(self: Arc<Self>) {
        let crew = Arc::clone(&self.crew);
        let key = self.key;
        crew.is_over(self, key);
    }
}
