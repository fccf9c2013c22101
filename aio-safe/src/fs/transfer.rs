//! Reads and writes of one buffer, in as many transfers as they take.

use std::{
    fmt,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll, ready},
};

use aio_sys::Errno;

use super::{
    Error, File,
    submission::{Submission, Target},
};
use crate::{
    BufResult, Op, Queue, SubmitError,
    buf::{IoBuf, IoBufExt, IoBufMut, Slice},
    op::Transfer,
};

/// A read or a write of a [`File`]: a task `.await`s it, a thread [`wait`](Self::wait)s for it.
/// Both give the number of bytes, and the buffer whatever the outcome is.
///
/// It was submitted when it was made if a slot of the queue was free. Otherwise it waits for one
/// when it is awaited or waited for, first come first served.
///
/// # Dropping
///
/// Dropping it abandons what is in flight, with the buffer. **A dropped write may still land.**
/// [`Queue::drain`] waits for it. A short transfer isn't continued any more. If the operation still
/// waits for a slot, dropping it gives up the place in line, and nothing is submitted. See
/// [`Pending`](crate::Pending#dropping).
#[must_use = "dropping it abandons the operation: its result is lost"]
pub struct Transferring<'a, B: Send + 'static> {
    target: Target<'a>,
    plan: Plan<B>,
    stage: Stage<'a, B>,
}

/// A transfer's outcome: how many bytes were read or written, and the buffer.
type Outcome<B> = BufResult<usize, B, Error>;
/// One transfer, of a part of the buffer.
type Part<B> = Transfer<Slice<B>>;
/// What became of it, or that the queue didn't take it.
type Done<B> = Result<BufResult<usize, Slice<B>>, SubmitError<Op<Part<B>>>>;

enum Stage<'a, B: Send + 'static> {
    Submitted(Submission<'a, Part<B>>),
    /// It wasn't submitted.
    Invalid(Error, B),
    Over,
}

/// What is to be transferred, and how far that is.
struct Plan<B: 'static> {
    make: fn(Slice<B>, u64) -> Op<Part<B>>,
    /// Where the buffer's first byte belongs in the file.
    offset: u64,
    /// Transfers end here in the buffer, at the latest.
    end: usize,
    /// How many bytes it takes. 0 if one transfer is enough, however short.
    needed: usize,
    /// How many bytes were transferred.
    done: usize,
    /// The last transfer started here in the buffer.
    start: usize,
    is_read: bool,
}

impl<B: IoBuf> Plan<B> {
    #[inline(always)]
    fn op(&self, buffer: B) -> Op<Part<B>> {
        // An offset that doesn't fit is negative for the kernel, which answers EINVAL.
        let offset = self.offset.saturating_add(self.start as u64);
        (self.make)(buffer.slice(self.start..self.end), offset)
    }

    /// After a transfer: the outcome, or the buffer if there is more to do.
    #[inline(always)]
    fn next(
        &mut self,
        file: &File,
        done: BufResult<usize, Slice<B>>,
    ) -> ControlFlow<Outcome<B>, B> {
        let buffer = done.buffer.into_inner();
        match done.result {
            Ok(n) if self.start + n >= self.needed => Break(BufResult {
                result: Ok(self.start + n),
                buffer,
            }),
            // A signal came before anything was transferred.
            Err(error) if error.errno() == Errno::EINTR => Continue(buffer),
            Err(error) => Break(BufResult {
                result: Err(error.into()),
                buffer,
            }),
            Ok(n) => self.after_short(file, n, buffer),
        }
    }

    /// As [`next`](Self::next), also for an operation that the queue didn't take.
    fn next_if_taken(&mut self, file: &File, done: Done<B>) -> ControlFlow<Outcome<B>, B> {
        match done {
            Ok(done) => self.next(file, done),
            Err(error) => Break(BufResult {
                result: Err(error.reason.into()),
                buffer: error.op.into_payload().into_buffer().into_inner(),
            }),
        }
    }

    /// Blocks until the end of this transfer and of those that follow it.
    #[cold]
    fn wait_for_all<'a>(
        mut self,
        target: Target<'a>,
        mut submission: Submission<'a, Part<B>>,
    ) -> Outcome<B> {
        loop {
            match self.next_if_taken(target.file, submission.wait(target)) {
                Break(outcome) => return outcome,
                Continue(rest) => submission = Submission::new(target, self.op(rest)),
            }
        }
    }

    #[cold]
    fn after_short(&mut self, file: &File, n: usize, buffer: B) -> ControlFlow<Outcome<B>, B> {
        let reached = self.start + n;
        if reached <= self.done {
            let (done, needed) = (self.done, self.needed);
            let error = match self.is_read {
                true => Error::UnexpectedEof { read: done, needed },
                false => Error::WriteZero {
                    written: done,
                    needed,
                },
            };
            return Break(BufResult {
                result: Err(error),
                buffer,
            });
        }
        self.done = reached;
        // A direct transfer goes on at an aligned position. The bytes between are the same again.
        self.start = file.alignment_ref().round_down(reached);
        Continue(buffer)
    }
}

impl<'a, B: IoBuf> Transferring<'a, B> {
    #[inline(always)]
    fn new(target: Target<'a>, plan: Plan<B>, length: usize, buffer: B) -> Self {
        let alignment = target.file.alignment_ref();
        let (address, offset) = (buffer.io_ptr().addr(), plan.offset);
        let stage = if alignment.fits(address, length, offset) {
            Stage::Submitted(Submission::new(target, plan.op(buffer)))
        } else {
            let reason = alignment.misaligned(0, address, length, offset);
            Stage::Invalid(reason.into(), buffer)
        };
        Self {
            target,
            plan,
            stage,
        }
    }

    /// Blocks until the operation is over. The thread reaps for the whole queue meanwhile, unless
    /// another one does. Signals don't end the wait.
    ///
    /// # Deadlocks and panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait), and while no slot is free as
    /// [`Reserve::wait`](crate::queue::Reserve::wait). It panics if polling has taken the
    /// outcome before.
    // Always: a `ret` after the system call would be expensive, see `aio_sys`.
    #[inline(always)]
    pub fn wait(self) -> BufResult<usize, B, Error> {
        let Self {
            target,
            mut plan,
            stage,
        } = self;
        match stage {
            // Most are in flight and end with one transfer. The compiler keeps these in registers.
            Stage::Submitted(submission) => match submission.into_pending() {
                Ok(pending) => match plan.next(target.file, pending.wait()) {
                    Break(outcome) => outcome,
                    Continue(rest) => {
                        let submission = Submission::new(target, plan.op(rest));
                        plan.wait_for_all(target, submission)
                    }
                },
                Err(submission) => plan.wait_for_all(target, submission),
            },
            Stage::Invalid(error, buffer) => BufResult {
                result: Err(error),
                buffer,
            },
            Stage::Over => panic!("the operation's result was taken before"),
        }
    }
}

// Nothing in it is pinned: the buffer's bytes stay where they are when the buffer moves.
impl<B: Send + 'static> Unpin for Transferring<'_, B> {}

impl<B: IoBuf> Future for Transferring<'_, B> {
    type Output = BufResult<usize, B, Error>;

    /// # Panics
    ///
    /// When it is polled again after it was ready, and in the same cases as [`wait`](Self::wait).
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let done = match &mut this.stage {
                Stage::Submitted(submission) => match submission.poll_in_flight(cx) {
                    Some(done) => this.plan.next(this.target.file, ready!(done)),
                    None => {
                        let done = ready!(submission.poll_for_slot(this.target, cx));
                        this.plan.next_if_taken(this.target.file, done)
                    }
                },
                Stage::Invalid(..) | Stage::Over => {
                    let stage = std::mem::replace(&mut this.stage, Stage::Over);
                    let Stage::Invalid(error, buffer) = stage else {
                        panic!("the operation was polled after it was over")
                    };
                    Break(BufResult {
                        result: Err(error),
                        buffer,
                    })
                }
            };
            match done {
                Break(outcome) => {
                    this.stage = Stage::Over;
                    return Poll::Ready(outcome);
                }
                Continue(buffer) => {
                    let op = this.plan.op(buffer);
                    this.stage = Stage::Submitted(Submission::new(this.target, op));
                }
            }
        }
    }
}

impl<B: Send + 'static> fmt::Debug for Transferring<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let submitted = match &self.stage {
            Stage::Submitted(submission) => submission.is_submitted(),
            Stage::Invalid(..) => false,
            Stage::Over => true,
        };
        f.debug_struct("Transferring")
            .field("submitted", &submitted)
            .field("done", &self.plan.done)
            .finish_non_exhaustive()
    }
}

/// Reads and writes. Each is submitted at once if a slot is free. A task awaits the future that it
/// returns, a thread waits for it. See [`Transferring`], also for what dropping it means. A
/// transfer that a signal interrupted (EINTR) is submitted again.
impl File {
    /// Reads into a buffer from a byte offset of the file, at most the buffer's capacity. Gives the
    /// number of bytes, which may be less. It is 0 at the end of the file and beyond.
    ///
    /// The bytes are stored from the buffer's start, whatever its length is. A read lengthens the
    /// buffer, and never shortens it. So [`clear`](crate::AlignedBuf::clear) a buffer before it is
    /// used again, or look at the first bytes only, as many as were read.
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffer. With direct I/O the buffer's address, its
    /// capacity and the offset have to be [aligned](Self::alignment).
    ///
    /// ```
    /// use aio_safe::{Queue, fs::File};
    ///
    /// let (queue, file) = (Queue::new(8)?, File::open("Cargo.toml")?);
    /// let (n, buffer) = file.read_at(&queue, file.buffer(4096)?, 0).wait().into_result()?;
    /// assert_eq!((buffer.len(), &buffer[..9]), (n, &b"[package]"[..]));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "pread")]
    // Always, and so is all that it calls until the system call: see `Queue::submit`.
    #[inline(always)]
    pub fn read_at<'a, B: IoBufMut>(
        &'a self,
        queue: &'a Queue,
        buffer: B,
        offset: u64,
    ) -> Transferring<'a, B> {
        let length = buffer.io_capacity();
        let plan = Plan {
            make: Op::read,
            offset,
            end: length,
            needed: 0,
            done: 0,
            start: 0,
            is_read: true,
        };
        Transferring::new(Target { queue, file: self }, plan, length, buffer)
    }

    /// Writes a buffer's initialised bytes at a byte offset of the file. Gives the number of bytes,
    /// which may be less, on a full disk for example.
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffer. With direct I/O the buffer's address, its
    /// length and the offset have to be [aligned](Self::alignment).
    /// [`AlignedBuf::pad_to`](crate::AlignedBuf::pad_to) makes an odd length fit.
    #[doc(alias = "pwrite")]
    #[inline(always)]
    pub fn write_at<'a, B: IoBuf>(
        &'a self,
        queue: &'a Queue,
        buffer: B,
        offset: u64,
    ) -> Transferring<'a, B> {
        let length = buffer.io_len();
        let plan = Plan {
            make: Op::write,
            offset,
            end: length,
            needed: 0,
            done: 0,
            start: 0,
            is_read: false,
        };
        Transferring::new(Target { queue, file: self }, plan, length, buffer)
    }

    /// Reads at least `len` bytes into a buffer, from a byte offset of the file, in as many
    /// transfers as that takes. Gives the number of bytes. It may be more than `len`, because `len`
    /// is rounded up to the file's [alignment](Self::alignment).
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffer:
    ///
    /// - [`UnexpectedEof`](Error::UnexpectedEof) when the file ends before. The buffer has what was
    ///   read.
    /// - [`BufferTooSmall`](Error::BufferTooSmall) when `len` is more than the buffer's capacity.
    /// - [`Misaligned`](Error::Misaligned) with direct I/O, when the buffer's address or the offset
    ///   isn't aligned, or when the buffer has no room for `len` rounded up.
    ///
    /// # Panics
    ///
    /// When a short transfer has to be continued in a buffer of your own type whose bytes never
    /// count as initialised, although they were read: see [`IoBufMut`].
    ///
    /// ```
    /// use aio_safe::{Queue, fs::{Error, File}};
    /// # let dir = tempfile::tempdir_in(".")?;
    /// # let path = dir.path().join("file");
    /// # std::fs::write(&path, [7; 1000])?;
    ///
    /// let (queue, file) = (Queue::new(8)?, File::open(path)?);
    /// let read = file.read_exact_at(&queue, file.buffer(2000)?, 1000, 0).wait();
    /// assert_eq!(read.result?, 1000);
    /// let read = file.read_exact_at(&queue, read.buffer, 1001, 0).wait();
    /// assert_eq!(read.result, Err(Error::UnexpectedEof { read: 1000, needed: 1001 }));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn read_exact_at<'a, B: IoBufMut>(
        &'a self,
        queue: &'a Queue,
        buffer: B,
        len: usize,
        offset: u64,
    ) -> Transferring<'a, B> {
        let capacity = buffer.io_capacity();
        let end = self.alignment_ref().round_up(len).min(capacity);
        let target = Target { queue, file: self };
        let plan = Plan {
            make: Op::read,
            offset,
            end,
            needed: len,
            done: 0,
            start: 0,
            is_read: true,
        };
        if len > capacity {
            let needed = len;
            let error = Error::BufferTooSmall { capacity, needed };
            let stage = Stage::Invalid(error, buffer);
            return Transferring {
                target,
                plan,
                stage,
            };
        }
        Transferring::new(target, plan, end, buffer)
    }

    /// Writes all of a buffer's initialised bytes at a byte offset of the file, in as many
    /// transfers as that takes. Gives their number.
    ///
    /// # Errors
    ///
    /// The outcome has an [`Error`], and the buffer. Some of the bytes may have been written.
    /// [`WriteZero`](Error::WriteZero) says that a write wrote nothing, but didn't fail either.
    /// Alignment is as with [`write_at`](Self::write_at).
    #[inline(always)]
    pub fn write_all_at<'a, B: IoBuf>(
        &'a self,
        queue: &'a Queue,
        buffer: B,
        offset: u64,
    ) -> Transferring<'a, B> {
        let length = buffer.io_len();
        let plan = Plan {
            make: Op::write,
            offset,
            end: length,
            needed: length,
            done: 0,
            start: 0,
            is_read: false,
        };
        Transferring::new(Target { queue, file: self }, plan, length, buffer)
    }
}
