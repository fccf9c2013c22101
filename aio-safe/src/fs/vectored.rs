//! Reads and writes of several buffers in one transfer.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aio_sys::Errno;

use super::{
    Error, File, Misaligned,
    submission::{Submission, Target},
};
use crate::{
    BufResult, Op, Queue, SubmitError,
    buf::{IoBuf, IoBufMut},
    op::VectoredTransfer,
};

/// A vectored read or write of a [`File`]: a task `.await`s it, a thread [`wait`](Self::wait)s for
/// it. Both give the number of bytes, and the buffers whatever the outcome is.
///
/// It was submitted when it was made if a slot of the queue was free. Otherwise it waits for one
/// when it is awaited or waited for, first come first served.
///
/// # Dropping
///
/// Dropping it abandons the operation, with the buffers. **A dropped write may still land.**
/// [`Queue::drain`] waits for it. If the operation still waits for a slot, dropping it gives up the
/// place in line, and nothing is submitted. See [`Pending`](crate::Pending#dropping).
#[must_use = "dropping it abandons the operation: its result is lost"]
pub struct VectoredTransferring<'a, B: Send + 'static> {
    target: Target<'a>,
    make: fn(Vec<B>, u64) -> Op<VectoredTransfer<B>>,
    offset: u64,
    stage: Stage<'a, B>,
}

enum Stage<'a, B: Send + 'static> {
    Submitted(Submission<'a, VectoredTransfer<B>>),
    /// It wasn't submitted.
    Invalid(Error, Vec<B>),
    Over,
}

type Outcome<B> = BufResult<usize, Vec<B>, Error>;
type Done<B> = Result<BufResult<usize, Vec<B>>, SubmitError<Op<VectoredTransfer<B>>>>;

impl<'a, B: Send + 'static> VectoredTransferring<'a, B> {
    fn new(
        target: Target<'a>,
        make: fn(Vec<B>, u64) -> Op<VectoredTransfer<B>>,
        offset: u64,
        checked: Result<Op<VectoredTransfer<B>>, Misaligned<Vec<B>>>,
    ) -> Self {
        let stage = match checked {
            Ok(op) => Stage::Submitted(Submission::new(target, op)),
            Err(Misaligned { reason, buffer }) => Stage::Invalid(reason.into(), buffer),
        };
        Self {
            target,
            make,
            offset,
            stage,
        }
    }

    /// After the transfer: its outcome, or `None` if it was submitted again.
    fn next(&mut self, done: Done<B>) -> Option<Outcome<B>> {
        self.stage = Stage::Over;
        let (error, buffer) = match done {
            Ok(BufResult { result, buffer }) => match result {
                Ok(n) => {
                    let result = Ok(n);
                    return Some(BufResult { result, buffer });
                }
                // A signal came before anything was transferred.
                Err(error) if error.errno() == Errno::EINTR => {
                    let op = (self.make)(buffer, self.offset);
                    self.stage = Stage::Submitted(Submission::new(self.target, op));
                    return None;
                }
                Err(error) => (error.into(), buffer),
            },
            Err(error) => (error.reason.into(), error.op.into_payload().into_buffers()),
        };
        let result = Err(error);
        Some(BufResult { result, buffer })
    }

    /// Blocks until the operation is over. The thread reaps for the whole queue meanwhile, unless
    /// another one does. Signals don't end the wait.
    ///
    /// # Deadlocks and panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait), and while no slot is free as
    /// [`Reserve::wait`](crate::queue::Reserve::wait). It panics if polling has taken the
    /// outcome before.
    pub fn wait(mut self) -> BufResult<usize, Vec<B>, Error> {
        loop {
            let done = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Submitted(submission) => submission.wait(self.target),
                Stage::Invalid(error, buffer) => {
                    let result = Err(error);
                    return BufResult { result, buffer };
                }
                Stage::Over => panic!("the operation's result was taken before"),
            };
            if let Some(outcome) = self.next(done) {
                return outcome;
            }
        }
    }
}

// Nothing in it is pinned: the buffers' bytes stay where they are when the buffers move.
impl<B: Send + 'static> Unpin for VectoredTransferring<'_, B> {}

impl<B: Send + 'static> Future for VectoredTransferring<'_, B> {
    type Output = BufResult<usize, Vec<B>, Error>;

    /// # Panics
    ///
    /// When it is polled again after it was ready, and in the same cases as [`wait`](Self::wait).
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let done = match &mut this.stage {
                Stage::Submitted(submission) => ready!(submission.poll(this.target, cx)),
                stage => match std::mem::replace(stage, Stage::Over) {
                    Stage::Invalid(error, buffer) => {
                        let result = Err(error);
                        return Poll::Ready(BufResult { result, buffer });
                    }
                    _ => panic!("the operation was polled after it was over"),
                },
            };
            if let Some(outcome) = this.next(done) {
                return Poll::Ready(outcome);
            }
        }
    }
}

impl<B: Send + 'static> fmt::Debug for VectoredTransferring<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let submitted = match &self.stage {
            Stage::Submitted(submission) => submission.is_submitted(),
            Stage::Invalid(..) => false,
            Stage::Over => true,
        };
        f.debug_struct("VectoredTransferring")
            .field("submitted", &submitted)
            .finish_non_exhaustive()
    }
}

/// Vectored reads and writes. Each is one transfer, which isn't continued when it is short. Each
/// allocates an array, which tells the kernel where the buffers are. See [`VectoredTransferring`]
/// for waiting, and for what dropping it means.
impl File {
    /// Reads into several buffers, the first one first, from a byte offset of the file. Gives the
    /// number of bytes, which may be less than their capacities. The kernel takes at most 1024
    /// buffers, and refuses more with EINVAL.
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffers. With direct I/O each buffer's address and
    /// capacity, and the offset, have to be [aligned](Self::alignment).
    #[doc(alias = "preadv")]
    pub fn read_vectored_at<'a, B: IoBufMut>(
        &'a self,
        queue: &'a Queue,
        buffers: Vec<B>,
        offset: u64,
    ) -> VectoredTransferring<'a, B> {
        let checked = self.read_vectored_op(buffers, offset);
        let target = Target { queue, file: self };
        VectoredTransferring::new(target, Op::read_vectored, offset, checked)
    }

    /// Writes several buffers' initialised bytes, the first one first, at a byte offset of the
    /// file. Gives the number of bytes, which may be less than all. The kernel takes at most 1024
    /// buffers, and refuses more with EINVAL.
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffers. With direct I/O each buffer's address and
    /// length, and the offset, have to be [aligned](Self::alignment).
    #[doc(alias = "pwritev")]
    pub fn write_vectored_at<'a, B: IoBuf>(
        &'a self,
        queue: &'a Queue,
        buffers: Vec<B>,
        offset: u64,
    ) -> VectoredTransferring<'a, B> {
        let checked = self.write_vectored_op(buffers, offset);
        let target = Target { queue, file: self };
        VectoredTransferring::new(target, Op::write_vectored, offset, checked)
    }
}
