//! Many operations in one `io_submit`.

#![allow(unsafe_code, reason = "fills slots and submits them")]

use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{
    Op, Pending, Queue, SubmitError,
    engine::{slab::Group, slot::Slot, submit::Answer},
    error::QueueError,
    op::{Held, Payload},
};

/// Operations that go to the kernel together, in one `io_submit`. Made by [`Queue::batch`].
///
/// A batch holds operations of one type: reads and writes of one buffer type, for example. It can
/// be used again after each [`submit`](Self::submit). Its list of operations allocates only while
/// it grows beyond its greatest length.
///
/// # Slots
///
/// A batch holds a slot for each of its operations. To claim slots more rarely, it also claims
/// spare slots, and gives them back in `submit`. It has at most as many spare slots as operations,
/// or as many as it [expects](Self::expect_more).
///
/// # Dropping
///
/// Dropping a batch submits nothing. Operations that are still in it are dropped. A program that
/// forgot to submit would get no handles, and would end as if all was done. So a debug build
/// **panics** when a batch is dropped with operations in it, unless `push` or `submit` returned an
/// error before. Use [`clear`](Self::clear) to drop them on purpose, or [`pop`](Self::pop) to take
/// them back.
///
/// Dropping a batch frees its slots. So it may run the wakers of tasks that wait for one: see
/// [`Queue`](Queue#wakers-and-destructors).
///
/// ```
/// use aio_safe::{Op, Queue};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// # std::fs::write(&path, vec![b'x'; 1024])?;
///
/// let queue = Queue::new(16)?;
/// let file = std::fs::File::open(path)?;
/// let mut batch = queue.batch();
/// for block in 0..4 {
///     batch.push(&file, Op::read(vec![0; 256], block * 256))?;
/// }
/// let mut handles = Vec::new();
/// batch.submit(&mut handles)?;
/// for read in handles {
///     let (n, buffer) = read.wait().into_result()?;
///     assert_eq!((n, buffer), (256, vec![b'x'; 256]));
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a, P: Payload> {
    queue: &'a Queue,
    /// Filled slots, in the order in which they were pushed.
    slots: Vec<&'a Slot>,
    /// How many operations are yet to come, as `expect_more` said.
    expected: u32,
    /// An error was returned, so the program knows that not everything was submitted.
    failed: bool,
    /// Claimed and not yet filled.
    spare: Group,
    payload: Held<P>,
    files: PhantomData<BorrowedFd<'a>>,
}

impl<'a, P: Payload> Batch<'a, P> {
    pub(crate) fn new(queue: &'a Queue) -> Self {
        Self {
            queue,
            slots: Vec::new(),
            expected: 0,
            failed: false,
            spare: Group::none(),
            payload: PhantomData,
            files: PhantomData,
        }
    }

    /// Adds an operation on a file, which stays borrowed for as long as the batch lives.
    /// [`submit`](Self::submit) passes the operation to the kernel.
    ///
    /// If no slot is free, it takes the completions that are there, and may run [wakers and
    /// destructors](Queue#wakers-and-destructors): see [`Queue::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, or after a fork.
    // Always inlined: an operation is larger than the part of it that its slot stores.
    #[inline(always)]
    pub fn push<F: AsFd + ?Sized>(
        &mut self,
        file: &'a F,
        op: Op<P>,
    ) -> Result<(), SubmitError<Op<P>>> {
        // `as_fd` is the caller's code and may panic, so it runs before a slot is claimed.
        let file = file.as_fd();
        // Nothing panics before the operation is in its slot, so it needs no destructor here. With
        // one, the compiler would keep the operation in memory.
        let op = ManuallyDrop::new(op);
        let Some(slot) = self.next_slot() else {
            return self.push_when_full(file, ManuallyDrop::into_inner(op));
        };
        self.put(slot, file, ManuallyDrop::into_inner(op));
        Ok(())
    }

    /// Puts an operation in a slot that was claimed for it.
    #[inline(always)]
    fn put(&mut self, slot: &'a Slot, file: BorrowedFd<'a>, op: Op<P>) {
        // SAFETY: the slot was claimed for this operation, and the queue keeps the shared part.
        unsafe { self.queue.shared().fill(slot, file, op) };
        self.slots.push(slot);
    }

    /// [`push`](Self::push) when no slot is free. Completions that nobody reaped may hold some.
    #[cold]
    fn push_when_full(
        &mut self,
        file: BorrowedFd<'a>,
        op: Op<P>,
    ) -> Result<(), SubmitError<Op<P>>> {
        let shared = self.queue.shared();
        let Some(index) = shared.claim_after_all(1).next() else {
            self.failed = true;
            return Err(SubmitError {
                reason: shared.why_not_submitted(),
                op,
            });
        };
        self.put(shared.slab.claimed(index), file, op);
        Ok(())
    }

    /// Says that `n` operations follow. The slots that are free are claimed together, which costs
    /// less than claiming each. Slots that aren't used are given back in [`submit`](Self::submit).
    pub fn expect_more(&mut self, n: usize) {
        self.expected = u32::try_from(n).unwrap_or(u32::MAX);
    }

    /// A claimed slot, if there is one.
    #[inline]
    fn next_slot(&mut self) -> Option<&'a Slot> {
        let index = match self.spare.next() {
            Some(index) => index,
            None => self.claim_more()?,
        };
        Some(self.queue.shared().slab.claimed(index))
    }

    /// Claims as many slots as are expected. If no number is known, claims as many as the batch
    /// already has: so a batch that grows claims ever more rarely, and at most half of its slots
    /// are unused.
    #[cold]
    fn claim_more(&mut self) -> Option<u32> {
        let want = match self.expected {
            0 => (self.slots.len() as u32).max(1),
            expected => expected,
        };
        let shared = self.queue.shared();
        // `push_when_full` returns the error of a queue that is closed, or the parent's.
        if shared.gate.is_closed() || !shared.process.is_current() {
            return None;
        }
        self.spare = shared.slab.claim(want);
        self.expected = self.expected.saturating_sub(self.spare.len());
        self.spare.next()
    }

    /// Submits everything in the batch, and appends a handle for each operation to `handles`, in
    /// the order in which they were pushed. If the kernel refuses one operation, its result is the
    /// error, and the others are submitted all the same. Dropping a handle doesn't undo its
    /// operation: see [`Pending`](Pending#dropping).
    ///
    /// As with [`Queue::submit`], the kernel carries out some operations within `io_submit`. Spare
    /// slots are freed, which may run the [wakers](Queue#wakers-and-destructors) of tasks that wait
    /// for a slot.
    ///
    /// # Errors
    ///
    /// [`QueueError::Again`] when the kernel has no room for all, [`Closed`](QueueError::Closed)
    /// and [`Forked`](QueueError::Forked). Operations that were submitted have their handles. The
    /// rest stays in the batch: after `Again`, reap completions and call `submit` again.
    #[doc(alias = "io_submit")]
    // Always: a `ret` after the system call would be expensive, see `aio_sys`.
    #[inline(always)]
    pub fn submit(&mut self, handles: &mut Vec<Pending<P>>) -> Result<(), QueueError> {
        let shared = self.queue.shared();
        self.free_spare();
        let len = self.slots.len();
        if len == 0 {
            return if shared.process.is_current() {
                Ok(())
            } else {
                Err(QueueError::Forked)
            };
        }
        // Nothing may fail between the system call and the making of the handles.
        handles.reserve(len);
        // SAFETY: the slots were claimed and filled by this batch.
        match unsafe { shared.submit(&self.slots) } {
            Ok(()) => {
                // SAFETY: all slots were submitted just now. They leave the batch below.
                unsafe { self.hand_out(len, handles) };
                self.slots.clear();
                Ok(())
            }
            Err(answer) => self.submitted_in_part(&answer, handles),
        }
    }

    /// Ends a `submit` that didn't submit all operations.
    #[cold]
    fn submitted_in_part(
        &mut self,
        answer: &Answer,
        handles: &mut Vec<Pending<P>>,
    ) -> Result<(), QueueError> {
        self.failed = true;
        // SAFETY: these slots were answered just now. They leave the batch below.
        unsafe { self.hand_out(answer.answered, handles) };
        self.slots.drain(..answer.answered);
        answer.result
    }

    /// Makes the handles of the first operations.
    ///
    /// # Safety
    ///
    /// These were submitted, and the caller removes them from the batch. No handles were made.
    #[inline]
    unsafe fn hand_out(&self, answered: usize, handles: &mut Vec<Pending<P>>) {
        handles.extend(self.slots.iter().take(answered).map(|slot| {
            // SAFETY: the slot is in flight or completed, holds a P, and has no handle yet.
            unsafe { Pending::new(self.queue.shared(), slot) }
        }));
    }

    /// Takes back the operation that was pushed last. It frees a slot, which may run the
    /// [waker](Queue#wakers-and-destructors) of a task that waits for one.
    pub fn pop(&mut self) -> Option<Op<P>> {
        let slot = self.slots.pop()?;
        // SAFETY: the batch claimed the slot, and `push` filled it with a `P`. The slots that
        // `submit` leaves in the batch aren't started.
        let op = unsafe { slot.unfill() };
        // SAFETY: the batch owns the slot. `unfill` took the payload out just now, and no handle
        // has stored a waker. The queue's reference keeps the shared part.
        unsafe { self.queue.shared().free_held(slot.index()) };
        Some(op)
    }

    /// Drops the operations that are in the batch. It frees their slots, which may run the
    /// [wakers](Queue#wakers-and-destructors) of tasks that wait for one.
    ///
    /// # Panics
    ///
    /// When a buffer's destructor panics. The other buffers are dropped first.
    pub fn clear(&mut self) {
        /// Drops the rest if a buffer's destructor panics.
        struct Rest<'b, 'a, P: Payload>(&'b mut Batch<'a, P>);

        impl<P: Payload> Drop for Rest<'_, '_, P> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }

        let rest = Rest(self);
        while rest.0.pop().is_some() {}
    }

    /// How many operations are in the batch, not yet submitted.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[inline]
    fn free_spare(&mut self) {
        self.expected = 0;
        let spare = std::mem::replace(&mut self.spare, Group::none());
        if !spare.is_empty() {
            self.queue.shared().unclaim(spare);
        }
    }
}

impl<P: Payload> Drop for Batch<'_, P> {
    fn drop(&mut self) {
        // In a child process the slots are the parent's. What they own is leaked here.
        if !self.queue.shared().process.is_current() {
            return;
        }
        let left = self.len();
        self.free_spare();
        self.clear();
        // It panics because this is most often a mistake in the program. It panics in debug builds
        // alone, because a program that returns early by `?` makes no mistake.
        debug_assert!(
            left == 0 || self.failed || std::thread::panicking(),
            "a batch was dropped with {left} operations that were never submitted: call `submit`, \
             or `clear` to drop them on purpose"
        );
    }
}

impl<P: Payload> fmt::Debug for Batch<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
