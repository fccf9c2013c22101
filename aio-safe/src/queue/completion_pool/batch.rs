//! Many operations of a pool in one `io_submit`.

#![allow(unsafe_code, reason = "fills slots and submits them")]

use std::{
    fmt,
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use super::{
    CompletionPool,
    call::{Call, CallOf},
};
use crate::{Op, SubmitError, engine::slot::Slot, error::QueueError, op::Payload};

/// Operations of a pool that go to the kernel together, in one `io_submit`. Made by
/// [`CompletionPool::batch`]. The operations and the functions may be of different types.
///
/// A batch can be used again after each [`submit`](Self::submit). It holds a slot for each of its
/// operations.
///
/// Dropping a batch submits nothing. Operations that are still in it are dropped, and so are their
/// functions.
///
/// ```
/// use aio_safe::{Op, Queue};
///
/// let pool = Queue::builder(16).completion_pool(2)?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let mut batch = pool.batch();
/// for _ in 0..8 {
///     batch.push(&zeros, Op::read(vec![1; 16], 0), |done| assert_eq!(done.buffer, [0; 16]))?;
/// }
/// batch.submit()?;
/// assert_eq!(pool.stats().submitted, 8);
/// drop(batch);
/// pool.close()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is submitted until `submit` is called"]
pub struct CompletionBatch<'a> {
    pool: &'a CompletionPool,
    /// Filled slots, in the order in which they were pushed.
    slots: Vec<&'a Slot>,
    /// The call of each slot.
    calls: Vec<Arc<dyn Call>>,
    files: PhantomData<BorrowedFd<'a>>,
}

impl<'a> CompletionBatch<'a> {
    pub(super) fn new(pool: &'a CompletionPool) -> Self {
        Self {
            pool,
            slots: Vec::new(),
            calls: Vec::new(),
            files: PhantomData,
        }
    }

    /// Adds an operation on a file, which stays borrowed for as long as the batch lives. Once it is
    /// submitted and over, a thread of the pool calls the function with the result: see
    /// [`CompletionPool::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands operation and function back when the queue is full or closed, or after
    /// a fork.
    pub fn push<P, F, A>(
        &mut self,
        file: &'a A,
        op: Op<P>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
        A: AsFd + ?Sized,
    {
        self.push_with(file.as_fd(), op, None, function)
    }

    /// As [`push`](Self::push), with a key: see [`CompletionPool::submit_in_order`].
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_in_order<P, F, A>(
        &mut self,
        file: &'a A,
        op: Op<P>,
        key: u64,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
        A: AsFd + ?Sized,
    {
        self.push_with(file.as_fd(), op, Some(key), function)
    }

    fn push_with<P, F>(
        &mut self,
        file: BorrowedFd<'a>,
        op: Op<P>,
        key: Option<u64>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        let index = match self.pool.claim() {
            Ok(index) => index,
            Err(reason) => {
                return Err(SubmitError {
                    reason,
                    op: (op, function),
                });
            }
        };
        let crew = self.pool.crew();
        let slot = crew.queue.shared().slab.claimed(index);
        // SAFETY: the slot was claimed just now for this operation. It stays in the batch until it
        // is submitted, or until `discard` takes the operation back.
        let call = unsafe { CallOf::put(crew, slot, file, op, key, function) };
        self.slots.push(slot);
        self.calls.push(call);
        Ok(())
    }

    /// Submits everything in the batch. If the kernel refuses one operation, its function gets the
    /// error, and the others are submitted all the same.
    ///
    /// As with [`Queue::submit`](crate::Queue::submit), the kernel carries out some operations
    /// within `io_submit`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Again`] when the kernel has no room for all, [`Closed`](QueueError::Closed)
    /// and [`Forked`](QueueError::Forked). The operations that weren't submitted stay in the batch:
    /// after `Again`, call `submit` again when some functions were called.
    #[doc(alias = "io_submit")]
    pub fn submit(&mut self) -> Result<(), QueueError> {
        let crew = self.pool.crew();
        let len = self.slots.len();
        if len == 0 {
            return match crew.process().is_current() {
                true => Ok(()),
                false => Err(QueueError::Forked),
            };
        }
        crew.submits(len);
        // SAFETY: the slots were claimed and filled by this batch. Their handles are in the calls,
        // which use them when their wakers are woken.
        let Err(answer) = (unsafe { crew.queue.shared().submit(&self.slots) }) else {
            self.slots.clear();
            self.calls.clear();
            return Ok(());
        };
        self.slots.drain(..answer.answered);
        self.calls.drain(..answer.answered);
        crew.not_submitted(len - answer.answered);
        if answer.refused > 0 {
            crew.look_at_refused();
        }
        answer.result
    }

    /// How many operations are in the batch, not yet submitted.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn clear(&mut self) {
        while let (Some(slot), Some(call)) = (self.slots.pop(), self.calls.pop()) {
            // SAFETY: `push_with` has made this call for this slot, and `submit` leaves slots in
            // the batch only if they aren't started. Both left the batch just now.
            unsafe { call.discard(slot) };
        }
    }
}

impl Drop for CompletionBatch<'_> {
    /// # Panics
    ///
    /// When a destructor of an operation or of a function panics. The others are dropped first.
    fn drop(&mut self) {
        /// Drops the rest if a destructor panics.
        struct Rest<'b, 'a>(&'b mut CompletionBatch<'a>);

        impl Drop for Rest<'_, '_> {
            fn drop(&mut self) {
                self.0.clear();
            }
        }

        // In a child process the slots are the parent's. What they own is leaked here.
        if self.pool.crew().process().is_current() {
            Rest(self).0.clear();
        } else {
            std::mem::take(&mut self.calls)
                .into_iter()
                .for_each(std::mem::forget);
        }
    }
}

impl fmt::Debug for CompletionBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionBatch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
