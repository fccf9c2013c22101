//! Jobs: the foreign code that a leader runs after it has handed the role on.
//!
//! Wakers and buffers' destructors may do anything: reap, submit, panic, fork. So they run after
//! the turn, when the queue is in order. A panic in one job doesn't keep the others from running.
//! Freeing a slot is a job too, because it may wake a waiter in the line.

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

/// The jobs of one turn, in their order.
pub(crate) struct Jobs<'a> {
    shared: &'a Shared,
    // `ManuallyDrop`, because a destructor would check a second time whether there are jobs. `run`
    // takes all of them out.
    first: ManuallyDrop<ArrayVec<Job, TURN>>,
    /// The jobs that don't fit in `first`. They come from giving up a context, or from a lane that
    /// was dropped.
    rest: ManuallyDrop<Vec<Job>>,
}

enum Job {
    Wake(Waker),
    /// Discard an abandoned operation and free its slot, which the job owns.
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

    /// Keeps the job that follows from a completion.
    #[cold]
    pub(crate) fn completed(&mut self, index: u32, completed: Completed) {
        match completed {
            Completed::Quietly => {}
            Completed::Wake(waker) => self.put(Job::Wake(waker)),
            Completed::Abandoned => self.put(Job::Discard(index)),
        }
    }

    /// Keeps a waker that is to be woken.
    #[cold]
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.put(Job::Wake(waker));
    }

    /// Keeps the operations of a dropped lane that are to be discarded.
    #[cold]
    pub(crate) fn discard(&mut self, left: Left<Slot>) {
        left.take(|slot| {
            // SAFETY: the slot lies in the slab, which lives while `shared` is borrowed.
            let slot = unsafe { &*slot };
            // SAFETY: the lane was dropped and left the slot to its completer, which is this
            // thread. The slot isn't empty, but its payload has nothing to do with the inbox.
            unsafe { slot.set_inbox(None) };
            self.put(Job::Discard(slot.index()));
        });
    }

    fn put(&mut self, job: Job) {
        if matches!(job, Job::Discard(_)) {
            self.shared.counters.abandoned.add(1);
        }
        if let Err(full) = self.first.try_push(job) {
            self.rest.push(full.element());
        }
    }

    /// Runs all jobs. Returns the first panic, if there was one.
    ///
    /// If a job forks, the child leaves the other jobs to its parent.
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
                    // SAFETY: this job owns the slot, which holds a payload and its result. Either
                    // `complete` returned `Abandoned` for it, or a dropped lane left it. There is
                    // one job for each such slot.
                    let result = catch_unwind(AssertUnwindSafe(|| unsafe { slot.discard() }));
                    // SAFETY: this job owns the slot. `discard` has emptied it even if it panicked;
                    // or it has left a lost payload, which is leaked.
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

    /// Runs all jobs, then goes on with the first panic, if there was one. Returns whether there
    /// were any jobs: then this may be a child process.
    // `&mut self`: taking `self` by value would copy all jobs of a turn.
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
