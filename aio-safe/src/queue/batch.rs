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
/// Reads and writes of one buffer type fit in one batch. A batch can be used again after each
/// [`submit`](Self::submit), and doesn't allocate once it has been as long as it gets.
///
/// # Slots
///
/// A batch holds a slot for each of its operations. To claim slots more rarely, it also holds free
/// slots until `submit`: at most as many as it has operations, or as many as it
/// [expects](Self::expect_more).
///
/// # Dropping
///
/// Nothing is submitted by dropping a batch. Operations that are still in it are dropped, and their
/// handles never come to be, so that a program that forgot to submit waits for nothing and ends as
/// if all were done. So a debug build **panics** when a batch is dropped with operations in it,
/// unless
/// `push` or `submit` has returned an error before. Use [`clear`](Self::clear) to drop them on
/// purpose,
/// or [`pop`](Self::pop) to take them back.
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
    /// How many operations are yet to come, as far as is known.
    expected: u32,
    /// An error was returned: whoever got it knows that not everything was submitted.
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

    /// Adds an operation on a file, which stays borrowed for as long as the batch lives. The kernel
    /// hears of it in [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, or after a fork.
    // Always: an operation is larger than what its slot needs of it.
    #[inline(always)]
    pub fn push<F: AsFd + ?Sized>(
        &mut self,
        file: &'a F,
        op: Op<P>,
    ) -> Result<(), SubmitError<Op<P>>> {
        // Before anything is claimed: it may panic.
        let file = file.as_fd();
        // Nothing panics before it is in its slot. Without this the compiler would keep it in
        // memory, to be able to drop it.
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

    /// As [`push`](Self::push), where no slot was found: some may be those of operations that are
    /// over.
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
                reason: shared.why_not_claimed(),
                op,
            });
        };
        self.put(shared.slab.claimed(index), file, op);
        Ok(())
    }

    /// Says that `n` operations follow. Their slots are claimed together, as far as there are any,
    /// which costs less than one by one. Slots that aren't used are given back in
    /// [`submit`](Self::submit).
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

    /// Claims as many slots as are expected, or as the batch already has. So a batch that grows
    /// claims slots ever more rarely, and at most half of its slots are unused.
    #[cold]
    fn claim_more(&mut self) -> Option<u32> {
        let want = match self.expected {
            0 => (self.slots.len() as u32).max(1),
            expected => expected,
        };
        let shared = self.queue.shared();
        // A queue that is closed, or the parent's, says so: see `push_when_full`.
        if shared.gate.is_closed() || !shared.process.is_current() {
            return None;
        }
        self.spare = shared.slab.claim(want);
        self.expected = self.expected.saturating_sub(self.spare.len());
        self.spare.next()
    }

    /// Submits everything in the batch, and appends a handle for each operation to `handles`, in
    /// the order in which they were pushed. Each operation stands for itself: if the kernel refuses
    /// one, its handle says so, and the others are submitted all the same.
    ///
    /// As with [`Queue::submit`], the kernel carries out some operations within `io_submit`.
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
        // So that nothing can fail between the system call and the making of the handles.
        handles.reserve(len);
        // SAFETY: the slots were claimed and filled by this batch.
        match unsafe { shared.submit(&self.slots) } {
            Ok(()) => {
                // SAFETY: all slots were submitted just now. They leave the batch below.
                unsafe { self.hand_out(len, handles) };
                self.slots.clear();
                Ok(())
            }
            Err(answer) => self.submitted_in_part(answer, handles),
        }
    }

    /// Ends a `submit` that didn't submit all operations.
    #[cold]
    fn submitted_in_part(
        &mut self,
        answer: Answer,
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

    /// Takes back the operation that was pushed last.
    pub fn pop(&mut self) -> Option<Op<P>> {
        let slot = self.slots.pop()?;
        // SAFETY: the slot is ours, filled with a P by `push`, and not started.
        let op = unsafe { slot.unfill() };
        // SAFETY: it is ours and empty; the queue keeps the slab.
        unsafe { self.queue.shared().free_held(slot.index()) };
        Some(op)
    }

    /// Drops the operations that are in the batch.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer's destructor, after all of them were dropped.
    pub fn clear(&mut self) {
        /// Goes on where a buffer's destructor has panicked.
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

    /// Whether there are none.
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
        // In a child process the slots are the parent's; what they own is leaked here.
        if !self.queue.shared().process.is_current() {
            return;
        }
        let left = self.len();
        self.free_spare();
        self.clear();
        // A panic, and not an error, as this is a mistake in the program. In debug builds alone, as
        // a program that returns early by `?` from something else makes no mistake.
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
