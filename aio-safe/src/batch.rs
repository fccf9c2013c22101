//! Many operations in one `io_submit`.

#![allow(unsafe_code, reason = "fills slots and submits them")]

use std::{
    fmt,
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd},
};

use aio_abi::Iocb;
use aio_sys::Errno;

use crate::{
    Op, Payload, Pending, Queue, SubmitError, SubmitErrorKind, slab::Claimed, slot::Outcome,
};

/// Operations that go to the kernel together, in one `io_submit`. Made by [`Queue::batch`].
///
/// A batch holds a place in the queue for each of its operations. Reads and writes of one buffer type
/// fit in one batch. It can be used again after each [`submit`](Self::submit), and doesn't allocate
/// once it has been as long as it gets. Operations that were never submitted are dropped with it, or
/// taken back with [`pop`](Self::pop).
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
///     let (n, buffer) = read.wait().ok()?;
///     assert_eq!((n, buffer), (256, vec![b'x'; 256]));
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a, P: Payload> {
    queue: &'a Queue,
    /// Filled slots, in the order in which they were pushed, and their iocbs.
    slots: Vec<u32>,
    iocbs: Vec<*mut Iocb>,
    /// Claimed and not yet filled.
    spare: Option<Claimed>,
    held: PhantomData<(P, BorrowedFd<'a>)>,
}

// SAFETY: the pointers are to slots that this batch owns; payloads are Send.
unsafe impl<P: Payload> Send for Batch<'_, P> {}
// SAFETY: everything that uses the pointers takes `&mut self`.
unsafe impl<P: Payload> Sync for Batch<'_, P> {}

impl<'a, P: Payload> Batch<'a, P> {
    pub(crate) fn new(queue: &'a Queue) -> Self {
        Self {
            queue,
            slots: Vec::new(),
            iocbs: Vec::new(),
            spare: None,
            held: PhantomData,
        }
    }

    /// Adds an operation on a file, which stays borrowed for as long as the batch lives. The kernel
    /// hears of it in [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, or after a fork.
    pub fn push<F: AsFd + ?Sized>(
        &mut self,
        file: &'a F,
        op: Op<P>,
    ) -> Result<(), SubmitError<Op<P>>> {
        // Before anything is claimed: it may panic.
        let file = file.as_fd();
        let next = self.spare.as_mut().and_then(Iterator::next);
        let index = match next {
            Some(index) => index,
            None => match self.claim_more() {
                Ok(index) => index,
                Err(reason) => return Err(SubmitError { reason, op }),
            },
        };
        let slot = self
            .queue
            .shared()
            .slab
            .get(index)
            .expect("claimed from this slab");
        // SAFETY: the slot was claimed, and is empty.
        let iocb = unsafe { slot.fill(index, file, op) };
        self.slots.push(index);
        self.iocbs.push(iocb);
        Ok(())
    }

    /// Claims as many slots as the batch already has: a batch that grows asks ever more rarely, and
    /// holds at most as many slots that it doesn't use as ones that it does.
    fn claim_more(&mut self) -> Result<u32, SubmitErrorKind> {
        let mut claimed = self.queue.claim((self.slots.len() as u32).max(1))?;
        let index = claimed.next().ok_or(SubmitErrorKind::QueueFull)?;
        self.spare = Some(claimed);
        Ok(index)
    }

    /// Submits everything in the batch, and appends a handle for each operation to `handles`, in the
    /// order in which they were pushed. The operations stand for themselves: where the kernel refuses
    /// one, its handle says so, and the others are submitted all the same.
    ///
    /// As with [`Queue::submit`], some operations are carried out on the spot.
    ///
    /// # Errors
    ///
    /// When the kernel has no room for all, or the queue was closed, or after a fork. Operations that
    /// were submitted before have their handles, the rest stays in the batch: call `submit` again,
    /// after [`SubmitErrorKind::Again`] when completions were reaped.
    #[doc(alias = "io_submit")]
    pub fn submit(&mut self, handles: &mut Vec<Pending<P>>) -> Result<(), SubmitErrorKind> {
        let shared = self.queue.shared();
        if !shared.process.is_current() {
            return Err(SubmitErrorKind::Forked);
        }
        self.free_spare();
        let len = self.iocbs.len();
        if len == 0 {
            return Ok(());
        }
        // So that nothing can fail between the system call and the making of the handles.
        handles.reserve(len);
        if !shared.gate.enter(len) {
            shared.exit_gate(len);
            return Err(SubmitErrorKind::Closed);
        }
        for &index in &self.slots {
            let slot = shared.slab.get(index).expect("claimed from this slab");
            // SAFETY: the slot was claimed and filled by this batch.
            unsafe { slot.start() };
        }
        // How many have been answered, and how many of those were refused.
        let (mut answered, mut refused) = (0, 0);
        let mut result = Ok(());
        while let Some(rest) = self.iocbs.get(answered..).filter(|rest| !rest.is_empty()) {
            // SAFETY: the iocbs lie in slots that are ours, and point to payloads that stay there
            // until their events.
            match unsafe { shared.kernel.io_submit(shared.ctx, rest) } {
                Ok(n @ 1..) => answered += n.min(rest.len()),
                Ok(0) | Err(Errno::EAGAIN) => {
                    result = Err(SubmitErrorKind::Again);
                    break;
                }
                Err(errno) => {
                    let slot = self
                        .slots
                        .get(answered)
                        .and_then(|&index| shared.slab.get(index));
                    // SAFETY: the kernel refused it, so there will be no event: we complete it. No
                    // handle exists yet, so there is nobody to wake and nothing to clean up.
                    unsafe {
                        slot.expect("as long as the iocbs")
                            .complete(Outcome::Refused(errno))
                    };
                    answered += 1;
                    refused += 1;
                }
            }
        }
        for &index in self.slots.get(answered..).into_iter().flatten() {
            let slot = shared.slab.get(index).expect("claimed from this slab");
            // SAFETY: the kernel didn't take it, and there is no handle.
            unsafe { slot.unstart() };
        }
        shared.exit_gate(refused + len - answered);
        self.iocbs.drain(..answered);
        for index in self.slots.drain(..answered) {
            // SAFETY: the slot is in flight or completed, holds a P, and has no handle yet.
            handles.push(unsafe { Pending::new(shared, index) });
        }
        result
    }

    /// Takes back the operation that was pushed last.
    pub fn pop(&mut self) -> Option<Op<P>> {
        self.iocbs.pop()?;
        let index = self.slots.pop()?;
        let shared = self.queue.shared();
        let slot = shared.slab.get(index).expect("claimed from this slab");
        // SAFETY: the slot is ours, filled with a P by `push`, and not started.
        let op = unsafe { slot.unfill() };
        // SAFETY: it is ours and empty; the queue keeps the slab.
        unsafe { shared.free_held(index) };
        Some(op)
    }

    /// How many operations are in the batch, not yet submitted.
    pub fn len(&self) -> usize {
        self.iocbs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iocbs.is_empty()
    }

    fn free_spare(&mut self) {
        for index in self.spare.take().into_iter().flatten() {
            // SAFETY: it was claimed and not filled; the queue keeps the slab.
            unsafe { self.queue.shared().free_held(index) };
        }
    }
}

impl<P: Payload> Drop for Batch<'_, P> {
    fn drop(&mut self) {
        /// Goes on where a buffer's destructor has panicked.
        struct Rest<'b, 'a, P: Payload>(&'b mut Batch<'a, P>);

        impl<P: Payload> Drop for Rest<'_, '_, P> {
            fn drop(&mut self) {
                while self.0.pop().is_some() {}
            }
        }

        if self.queue.shared().process.is_current() {
            self.free_spare();
            let rest = Rest(self);
            while rest.0.pop().is_some() {}
        }
    }
}

impl<P: Payload> fmt::Debug for Batch<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
