//! Waiting for a slot of a pool's queue.

use std::{fmt, mem, os::fd::AsFd, sync::Arc, task::Waker};

use super::{CompletionPool, call::submit};
use crate::{Op, SubmitError, engine::slab::Group, error::QueueError, op::Payload};

/// A slot of a pool's queue, for one operation. Made by [`CompletionPool::wait_for_slot`]. Dropping
/// it frees the slot.
#[must_use = "dropping it gives the slot back"]
pub struct CompletionPermit<'p> {
    pool: &'p CompletionPool,
    /// A claimed slot, which is the permit's until an operation is submitted in it.
    index: Option<u32>,
}

impl CompletionPool {
    /// Waits until a slot is free, first come first served.
    ///
    /// A function of the pool may call this too, even if the pool has one thread. That thread then
    /// reaps, and takes the results that are there out of their slots. The functions that get them
    /// are called later. So functions that wait can make the number of results in memory larger
    /// than the queue's depth.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`] and [`QueueError::Forked`].
    ///
    /// # Deadlocks
    ///
    /// - It waits for ever if nothing frees a slot: all of them belong to permits, to batches, or
    ///   to [polls](Op::poll) whose files never become ready.
    /// - A thread that isn't the pool's waits until functions return. So a function must not wait
    ///   for that thread.
    pub fn wait_for_slot(&self) -> Result<CompletionPermit<'_>, QueueError> {
        let crew = self.crew();
        let shared = crew.queue.shared();
        if !shared.process.is_current() {
            return Err(QueueError::Forked);
        }
        if shared.gate.is_closed() {
            return Err(QueueError::Closed);
        }
        if let Some(index) = shared.slab.claim(1).next() {
            return Ok(CompletionPermit::new(self, index));
        }
        let ticket = match shared.line.join(&shared.slab, &shared.gate)? {
            Ok(index) => return Ok(CompletionPermit::new(self, index)),
            Err(ticket) => ticket,
        };
        if ticket.register(&Waker::from(Arc::clone(crew))) {
            crew.wait_for_slot(&ticket);
        }
        // In a child process the ticket's lock may be held by a thread that doesn't exist here.
        if !shared.process.is_current() {
            mem::forget(ticket);
            return Err(QueueError::Forked);
        }
        let result = ticket.take().expect("the wait is over");
        result.map(|index| CompletionPermit::new(self, index))
    }
}

impl<'p> CompletionPermit<'p> {
    fn new(pool: &'p CompletionPool, index: u32) -> Self {
        Self {
            pool,
            index: Some(index),
        }
    }

    /// As [`CompletionPool::submit`], in this slot.
    ///
    /// # Errors
    ///
    /// As [`CompletionPool::submit`], but never [`QueueFull`](QueueError::QueueFull). The slot is
    /// freed then.
    #[doc(alias = "io_submit")]
    pub fn submit<P, F>(
        self,
        file: impl AsFd,
        op: Op<P>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        self.submit_with(file, op, None, function)
    }

    /// As [`CompletionPool::submit_in_order`], in this slot.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    #[doc(alias = "io_submit")]
    pub fn submit_in_order<P, F>(
        self,
        file: impl AsFd,
        op: Op<P>,
        key: u64,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        self.submit_with(file, op, Some(key), function)
    }

    fn submit_with<P, F>(
        mut self,
        file: impl AsFd,
        op: Op<P>,
        key: Option<u64>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        // `as_fd` is the caller's code and may panic, so it runs while the permit has the slot.
        let file = file.as_fd();
        let index = self.index.take().expect("only submit takes it");
        submit(self.pool.crew(), index, file, op, key, function)
    }
}

impl Drop for CompletionPermit<'_> {
    fn drop(&mut self) {
        let shared = self.pool.crew().queue.shared();
        if let Some(index) = self.index.take().filter(|_| shared.process.is_current()) {
            shared.unclaim(Group::one(index));
        }
    }
}

impl fmt::Debug for CompletionPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionPermit").finish_non_exhaustive()
    }
}
