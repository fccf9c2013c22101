//! The queue: submitting single operations, and what its owner can ask of it.

#![allow(unsafe_code, reason = "fills slots and submits them")]

mod batch;
mod pending;
mod reaper;
mod reserve;

use std::{
    fmt,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use crate::{
    Lane, Op, SubmitError,
    engine::{gate, shared::QueueRef, slot::Slot},
    error::{CloseError, QueueError, ReapError, SetupError},
    kernel::{Kernel, Linux},
    op::{Payload, ReadWrite},
    sync::atomic::Ordering::Relaxed,
};

pub use batch::Batch;
pub use pending::Pending;
pub use reaper::Reaper;
pub use reserve::{Permit, Reserve};

/// A submission queue: one native AIO context, and the operations in flight on it.
///
/// A handle is cheap to clone, and all clones are the same queue; any thread may use any of them.
///
/// # Dropping
///
/// When the last handle goes, the queue **waits for everything in flight** and destroys the
/// context, which also takes the kernel some 30 ms. [`close`](Self::close) does the same and tells
/// how it went. [`Pending`] handles outlive the queue: their results are there by then.
///
/// # Forking
///
/// A context stays with the process that made it. In a child process every method answers with an
/// error that says so, and dropping a handle there changes nothing for the parent.
///
/// Forking while `O_DIRECT` reads into private memory are in flight can lose what they read, up to Linux
/// 6.2 or so: the first of the two processes to touch such a page gets a copy, and the device may write
/// to the other one. That is the kernel's doing, see `open(2)`; [`drain`](Self::drain) before a fork.
pub struct Queue {
    shared: QueueRef,
}

impl Queue {
    /// The deepest a queue can be: what the kernel takes (4 194 304), or 32 703 on 32-bit targets.
    pub const MAX_DEPTH: u32 = gate::MAX_DEPTH;

    /// Makes a queue for at most `depth` operations at a time. All memory it needs is allocated here:
    /// some 200 bytes for each.
    ///
    /// An operation counts from its submission until its result was taken or, if its handle was
    /// dropped, until it is over.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the reason, most often the system's limit `fs.aio-max-nr`: depths of all
    /// queues of all processes add up to it.
    ///
    /// ```
    /// let queue = aio_safe::Queue::new(64)?;
    /// assert_eq!(queue.depth(), 64);
    /// # Ok::<_, aio_safe::error::SetupError>(())
    /// ```
    #[doc(alias = "io_setup")]
    pub fn new(depth: u32) -> Result<Self, SetupError> {
        Self::with_kernel(depth, Linux)
    }

    /// Makes a queue on something else than the system calls of this machine: a simulation, say.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_kernel(depth: u32, kernel: impl Kernel) -> Result<Self, SetupError> {
        Ok(Self {
            shared: QueueRef::new(depth, Box::new(kernel))?,
        })
    }

    /// Submits one operation on a file, with one `io_submit`.
    ///
    /// The file may be closed while the operation is in flight: the kernel takes a reference of its
    /// own.
    ///
    /// It normally returns at once. The kernel carries out some operations within `io_submit`, though:
    /// buffered reads and writes (without `O_DIRECT`), and direct ones that allocate blocks or find the
    /// device's queue full.
    ///
    /// A full queue first takes the completions that are there, as [`reap`](Self::reap) does: some
    /// may be those of abandoned operations. That runs wakers and destructors of buffers. If one of
    /// them panics, the panic hook reports it, and the panic goes no further: it would drop the
    /// operation. [`Batch::push`] and [`lane`](Self::lane) do the same.
    ///
    /// # Pipes, terminals and sockets
    ///
    /// A read of an empty pipe, terminal or socket blocks within `io_submit` until something comes,
    /// which may be never. Threads in [`drain`](Self::drain) and [`close`](Self::close) wait for it,
    /// too. So submit a [poll](Op::poll) first, and the read when the poll says that there is something
    /// to read. With `O_NONBLOCK` set on the file, a read that would block fails with EAGAIN instead.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, when the kernel has
    /// no room, or after a fork. Where the kernel refuses the operation itself, `submit` succeeds, and
    /// the result is [`OpError::Refused`](crate::OpError::Refused).
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("file");
    ///
    /// let queue = Queue::new(8)?;
    /// let file = std::fs::File::create(path)?;
    /// let written = queue.submit(&file, Op::write("hello", 0))?;
    /// assert_eq!(written.wait().result?, 5);
    /// queue.submit(&file, Op::fdatasync())?.wait()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "io_submit")]
    // Always: an operation is larger than what its slot needs of it.
    #[inline(always)]
    pub fn submit<P: Payload>(
        &self,
        file: impl AsFd,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        // Before anything is claimed: it may panic.
        let file = file.as_fd();
        // Nothing panics before it is in its slot. Without this the compiler would keep it in memory, to
        // be able to drop it.
        let op = ManuallyDrop::new(op);
        let slot = self.shared.slab.claim(1).next();
        match slot.map(|index| self.shared.slab.claimed(index)) {
            Some(slot) => self.submit_in(slot, file, ManuallyDrop::into_inner(op)),
            None => self.submit_when_full(file, ManuallyDrop::into_inner(op)),
        }
    }

    /// As [`submit`](Self::submit), where no slot was found: some may be those of operations that are
    /// over.
    #[cold]
    fn submit_when_full<P: Payload>(
        &self,
        file: BorrowedFd<'_>,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        match self.shared.claim_after_all(1).next() {
            Some(index) => self.submit_in(self.shared.slab.claimed(index), file, op),
            None => Err(SubmitError {
                reason: self.shared.why_not_claimed(),
                op,
            }),
        }
    }

    /// Submits one operation in a slot that was claimed for it.
    #[inline(always)]
    pub(crate) fn submit_in<P: Payload>(
        &self,
        slot: &Slot,
        file: BorrowedFd<'_>,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        // SAFETY: the slot was claimed for this operation, and the queue keeps the shared part.
        unsafe { self.shared.fill(slot, file, op) };
        // SAFETY: the slot was claimed and filled, and nobody else knows of it.
        match unsafe { self.shared.submit_one(slot) } {
            // SAFETY: the slot is in flight or completed, holds a P, and has no handle yet.
            Ok(()) => Ok(unsafe { Pending::new(&self.shared, slot) }),
            // SAFETY: the slot is ours, filled with a P, and not started.
            Err(reason) => Err(unsafe { self.hand_back(slot, reason) }),
        }
    }

    /// Hands an operation back that couldn't be submitted.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot and filled it with a `P`. It is freed.
    #[cold]
    unsafe fn hand_back<P: Payload>(&self, slot: &Slot, reason: QueueError) -> SubmitError<Op<P>> {
        // SAFETY: the caller's promise.
        let op = unsafe { slot.unfill() };
        // SAFETY: as above, and it is empty now; `self` keeps the slab.
        unsafe { self.shared.free_held(slot.index()) };
        SubmitError { reason, op }
    }

    /// Waits for a place in a full queue, first come first served: `.await` it, or
    /// [`wait`](Reserve::wait) for it in a thread. The [`Permit`](crate::queue::Permit) takes one operation.
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    ///
    /// let queue = Queue::new(1)?;
    /// let zeros = std::fs::File::open("/dev/zero")?;
    /// for _ in 0..3 {
    ///     let read = queue.reserve().wait()?.submit(&zeros, Op::read(vec![1; 16], 0))?;
    ///     assert_eq!(read.wait().buffer, [0; 16]);
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(&self) -> Reserve<'_> {
        Reserve::new(self)
    }

    /// A batch: operations that go to the kernel together, in one `io_submit`.
    pub fn batch<P: Payload>(&self) -> Batch<'_, P> {
        Batch::new(self)
    }

    /// Makes a lane: so many places of this queue, for reads and writes of one buffer type that are submitted together,
    /// and whose results are taken as they come.
    ///
    /// The places aren't claimed all at once: while it is found out that there are too few, others find fewer, too.
    ///
    /// # Errors
    ///
    /// [`QueueError::QueueFull`] when fewer places are free (more than the queue's depth never are),
    /// [`Closed`](QueueError::Closed), or [`Forked`](QueueError::Forked).
    pub fn lane<P: ReadWrite, T: Send + 'static>(
        &self,
        places: u32,
    ) -> Result<Lane<P, T>, QueueError> {
        Lane::new(self, places)
    }

    /// Takes completions from the kernel and hands them to their [`Pending`] handles, waking whoever
    /// waits there. For a loop of one's own: threads in [`Pending::wait`] do it themselves.
    ///
    /// Waits until at least `min` completions came, or the timeout is over; without a timeout it waits
    /// for as long as it takes, even when nothing is in flight. With `min` = 0 it takes what is there
    /// and never waits. Returns how many completions it took; others may have taken some as well.
    ///
    /// # Errors
    ///
    /// [`ReapError::Interrupted`] when a signal came before any completion; the others say that
    /// nothing more will come.
    ///
    /// # Deadlocks
    ///
    /// The thread runs the wakers of operations, and the destructors of buffers whose operations were
    /// abandoned. Don't hold a lock meanwhile that one of these takes, such as the lock of a pool to
    /// which buffers go back: the thread would wait for itself.
    ///
    /// # Panics
    ///
    /// With the panic of a waker or of an abandoned buffer's destructor that it ran. The queue stays in
    /// order, and the other wakers were woken.
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    ///
    /// let queue = Queue::new(8)?;
    /// let zeros = std::fs::File::open("/dev/zero")?;
    /// let read = queue.submit(&zeros, Op::read(vec![1; 16], 0))?;
    /// assert_eq!(queue.reap(1, None)?, 1);
    /// let read = read.try_take().expect("it was reaped");
    /// assert_eq!(read.buffer, [0; 16]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "io_getevents")]
    pub fn reap(&self, min: usize, timeout: Option<Duration>) -> Result<usize, ReapError> {
        self.shared.reap_all(min, timeout)
    }

    /// A handle that reaps, and doesn't keep the queue open.
    pub fn reaper(&self) -> Reaper {
        Reaper::new(self.shared.hold())
    }

    /// Waits until nothing is in flight, abandoned operations included: a write whose handle was
    /// dropped still lands, and this tells when it has. Results that weren't taken stay.
    ///
    /// Operations that other threads submit meanwhile are waited for as well.
    ///
    /// # Errors
    ///
    /// [`CloseError::Closed`], [`CloseError::Forked`], and [`CloseError::Reap`] when completions can't
    /// be had any more.
    pub fn drain(&self) -> Result<(), CloseError> {
        if !self.shared.process.is_current() {
            return Err(CloseError::Forked);
        }
        if self.shared.gate.is_closed() && self.in_flight() == 0 {
            return Err(CloseError::Closed);
        }
        self.shared.drain()
    }

    /// Waits until nothing is in flight, and destroys the context. Other handles of this queue
    /// answer with `Closed` from now on; results that weren't taken stay.
    ///
    /// # Errors
    ///
    /// [`CloseError`] says what couldn't be done. Buffers that the kernel may still write to are
    /// leaked then.
    ///
    /// # Panics
    ///
    /// With the first panic of a waker or of an abandoned buffer's destructor that it ran, after
    /// everything is done.
    #[doc(alias = "io_destroy")]
    pub fn close(self) -> Result<(), CloseError> {
        if !self.shared.process.is_current() {
            return Err(CloseError::Forked);
        }
        self.shared.close()
    }

    /// How many operations it can hold.
    pub fn depth(&self) -> u32 {
        self.shared.slab.depth()
    }

    /// How many operations are in flight now: submitted, and their completions not yet reaped. While
    /// other threads submit or reap it may count some that the kernel is about to refuse, or that are
    /// over.
    pub fn in_flight(&self) -> usize {
        self.shared.gate.count().in_flight
    }

    /// Whether completions that are there are read from the ring that the kernel shares with the
    /// process, without a system call. Else, and to wait, `io_getevents` is called; `io_pgetevents`,
    /// which some filters on system calls forbid, isn't needed.
    pub fn reads_ring(&self) -> bool {
        self.shared.ring.is_some()
    }

    /// How many events came that belong to nothing in flight. They are dropped. It is 0 unless
    /// somebody else uses the queue's context or writes to its ring.
    pub fn strays(&self) -> usize {
        self.shared.strays.load(Relaxed)
    }

    pub(crate) fn shared(&self) -> &QueueRef {
        &self.shared
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // In a child process nothing is ours: not the context, nor the waiters in the locks.
        if !self.shared.process.is_current() || !self.shared.is_last() {
            return;
        }
        // It may have been closed before, and there is nobody to tell of an error.
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = self.shared.close();
        }));
        // A waker or a destructor may have forked.
        if !self.shared.process.is_current() {
            return;
        }
        // SAFETY: this was the last queue, the context is destroyed or can't be, and `self` goes.
        unsafe { self.shared.orphan() };
        if let Err(panic) = panic {
            if !std::thread::panicking() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("depth", &self.depth())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
