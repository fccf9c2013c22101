//! What a reaper has to do once it has handed on its role: run code that isn't the queue's own.
//!
//! Wakers and the destructors of buffers may do anything: reap, submit, panic. So they run when the
//! queue is in order again, and a panic in one doesn't keep the others from running. That goes for freeing
//! a slot, too: it may wake somebody who waits for one.

#![allow(unsafe_code, reason = "cleans up slots")]

use std::{
    any::Any,
    mem::{self, ManuallyDrop},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Waker,
};

use arrayvec::ArrayVec;

use crate::engine::{
    TURN,
    inbox::Left,
    keep_first,
    shared::Shared,
    slot::{Completed, Slot},
};

pub(crate) struct Jobs<'a> {
    shared: &'a Shared,
    // Not to be dropped: most often there is nothing in it, and that is looked at once.
    first: ManuallyDrop<ArrayVec<Job, TURN>>,
    /// For more than one turn's worth, when a context is given up.
    rest: ManuallyDrop<Vec<Job>>,
}

enum Job {
    Wake(Waker),
    /// An abandoned operation's slot: this owns it.
    Discard(u32),
}

impl<'a> Jobs<'a> {
    #[inline]
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            first: ManuallyDrop::new(ArrayVec::new()),
            rest: ManuallyDrop::new(Vec::new()),
        }
    }

    /// Keeps what is left to do after a completion.
    #[cold]
    pub(crate) fn completed(&mut self, index: u32, completed: Completed) {
        match completed {
            Completed::Quietly => {}
            Completed::Wake(waker) => self.put(Job::Wake(waker)),
            Completed::Abandoned => self.put(Job::Discard(index)),
        }
    }

    /// Keeps a waker to be woken.
    #[cold]
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.put(Job::Wake(waker));
    }

    /// Keeps the operations that a lane has left behind.
    #[cold]
    pub(crate) fn discard(&mut self, left: Left<Slot>) {
        left.take(|slot| {
            // SAFETY: with the lane gone it is ours alone; the slab keeps it where it is.
            let slot = unsafe { &*slot };
            // SAFETY: as above. What is in it doesn't need the inbox.
            unsafe { slot.set_inbox(None) };
            self.put(Job::Discard(slot.index()));
        });
    }

    fn put(&mut self, job: Job) {
        if let Err(full) = self.first.try_push(job) {
            self.rest.push(full.element());
        }
    }

    /// Does it all. Returns the first panic, if there was one.
    ///
    /// A job may fork. The child leaves the rest to its parent.
    #[must_use]
    pub(crate) fn run(&mut self) -> Option<Box<dyn Any + Send>> {
        let mut first_panic = None;
        let rest = mem::take(&mut *self.rest);
        let mut jobs = self.first.drain(..).chain(rest);
        while let Some(job) = jobs.next() {
            let result = match job {
                Job::Wake(waker) => catch_unwind(AssertUnwindSafe(|| waker.wake())),
                Job::Discard(index) => {
                    let Some(slot) = self.shared.slab.get(index) else {
                        continue;
                    };
                    // SAFETY: the completion said `Abandoned`, once.
                    let result = catch_unwind(AssertUnwindSafe(|| unsafe { slot.discard() }));
                    // SAFETY: it is ours and, panic or not, empty.
                    unsafe { self.shared.free_held(index) };
                    result
                }
            };
            if let Err(panic) = result {
                keep_first(&mut first_panic, panic);
            }
            if !self.shared.process.is_current() {
                jobs.for_each(mem::forget);
                break;
            }
        }
        first_panic
    }

    /// Does it all, and then goes on with the first panic, if there was one. Returns whether there was
    /// anything to do: then this may be another process.
    // Not by value: that copies a turn's worth of jobs.
    #[inline]
    pub(crate) fn run_and_resume(&mut self) -> bool {
        let some = !(self.first.is_empty() && self.rest.is_empty());
        if some {
            self.run_all_and_resume();
        }
        some
    }

    #[cold]
    fn run_all_and_resume(&mut self) {
        if let Some(panic) = self.run() {
            resume_unwind(panic);
        }
    }
}
