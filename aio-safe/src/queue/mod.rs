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
    kernel::{Dispatch, Kernel, Linux},
    op::{Payload, ReadWrite},
    sync::atomic::Ordering::Relaxed,
};

pub use batch::Batch;
pub use pending::Pending;
pub use reaper::Reaper;
pub use reserve::{Permit, Reserve};

/// A submission queue: one native AIO context, and the operations in flight on it.
///
/// A `Queue` is cheap to clone. All clones are the same queue, and any thread may use any of them.
///
/// # Slots
///
/// A queue of depth 32 has 32 slots. An operation takes a slot when it is submitted. Its slot
/// becomes free when its result is taken, or, if its handle was dropped, when somebody reaps its
/// completion.
///
/// # Dropping
///
/// When the last `Queue` and [`Lane`] go, the queue is closed: the drop **waits for everything in
/// flight** and destroys the context, which takes the kernel some 30 ms besides.
/// [`close`](Self::close) does the same and tells how it went. [`Pending`] handles outlive the
/// queue: their results are there by then.
///
/// # Forking
///
/// A context stays with the process that made it. In a child process, whatever submits or reaps
/// returns an error that says so, and waiting for the parent's operations panics. A drop there
/// changes nothing for the parent.
///
/// Up to Linux 6.2 or so, a fork can lose what `O_DIRECT` reads in flight read into private memory.
/// The first of the two processes to touch such a page gets a copy, and the device may write to the
/// other one: see `open(2)`. [`drain`](Self::drain) the queue before a fork.
pub struct Queue {
    shared: QueueRef,
}

impl Queue {
    /// The deepest a queue can be: what the kernel takes (4 194 304), or 32 703 on 32-bit targets.
    pub const MAX_DEPTH: u32 = gate::MAX_DEPTH;

    /// Makes a queue for at most `depth` operations at a time. It allocates all memory that it
    /// needs: some 200 bytes for each operation.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the reason. Most often it is the system's limit `fs.aio-max-nr`, which
    /// holds for the depths of all queues of all processes together.
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
            shared: QueueRef::new(depth, Dispatch::new(kernel))?,
        })
    }

    /// Submits one operation on a file, with one `io_submit`.
    ///
    /// The file may be closed while the operation is in flight: the kernel takes a reference of its
    /// own.
    ///
    /// It normally returns at once. But the kernel carries out some operations within `io_submit`:
    /// buffered reads and writes (without `O_DIRECT`), and direct ones that allocate blocks or find
    /// the device's queue full.
    ///
    /// A full queue first takes the completions that are there, because some may be those of
    /// abandoned operations. So `submit` may run wakers and destructors, as [`reap`](Self::reap)
    /// does. If one of them panics, the panic hook reports it, and `submit` goes on.
    /// [`Batch::push`] and [`lane`](Self::lane) do the same. Don't hold a lock meanwhile that a
    /// waker or a buffer's destructor takes: the thread would wait for itself.
    ///
    /// # Pipes, terminals and sockets
    ///
    /// A read of an empty pipe, terminal or socket blocks within `io_submit` until something comes,
    /// which may be never. Threads in [`drain`](Self::drain) and [`close`](Self::close) wait for
    /// it, too. So submit a [poll](Op::poll) first, and the read when the poll says that there is
    /// something to read. With `O_NONBLOCK` set on the file, a read that would block fails with
    /// EAGAIN instead.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, when the kernel
    /// has no room, or after a fork. Where the kernel refuses the operation itself, `submit`
    /// succeeds, and the result is [`OpError::Refused`](crate::OpError::Refused).
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
        // Nothing panics before the operation is in its slot. Without this the compiler would keep
        // it in memory, to be able to drop it.
        let op = ManuallyDrop::new(op);
        let slot = self.shared.slab.claim(1).next();
        match slot.map(|index| self.shared.slab.claimed(index)) {
            Some(slot) => self.submit_in(slot, file, ManuallyDrop::into_inner(op)),
            None => self.submit_when_full(file, ManuallyDrop::into_inner(op)),
        }
    }

    /// As [`submit`](Self::submit), where no slot was found: some may be those of operations that
    /// are over.
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
        // SAFETY: the caller has claimed the slot and filled it with a `P`, and didn't start it.
        let op = unsafe { slot.unfill() };
        // SAFETY: the slot is the caller's, and was emptied just now. `self` keeps the shared part.
        unsafe { self.shared.free_held(slot.index()) };
        SubmitError { reason, op }
    }

    /// Waits for a slot of a full queue, first come first served: `.await` it, or
    /// [`wait`](Reserve::wait) for it in a thread. The [`Permit`] submits one operation.
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

    /// Makes a batch: operations that go to the kernel together, in one `io_submit`.
    pub fn batch<P: Payload>(&self) -> Batch<'_, P> {
        Batch::new(self)
    }

    /// Makes a lane: a number of this queue's slots, for reads and writes of one buffer type that
    /// are submitted together, and whose results are taken as they come.
    ///
    /// # Errors
    ///
    /// [`QueueError::QueueFull`] when fewer slots are free, [`Closed`](QueueError::Closed), or
    /// [`Forked`](QueueError::Forked). Until it finds that there are too few, it holds those that
    /// there are, so that other threads may find the queue full.
    pub fn lane<P: ReadWrite, T: Send + 'static>(
        &self,
        slots: u32,
    ) -> Result<Lane<P, T>, QueueError> {
        Lane::new(self, slots)
    }

    /// Takes completions from the kernel, and wakes the tasks and threads that wait for them. It is
    /// for a loop of your own: threads in [`Pending::wait`] reap by themselves.
    ///
    /// It waits until it has taken at least `min` completions, or the timeout is over. Without a
    /// timeout it waits without limit, even when nothing is in flight. It also takes the other
    /// completions that are there, at most as many as the queue is deep. With `min` = 0 it never
    /// waits, whatever the timeout.
    ///
    /// Returns how many completions this call took. Other threads may have taken some as well. A
    /// thread that only reaps is better off with a [`reaper`](Self::reaper), which doesn't keep the
    /// queue open.
    ///
    /// # Errors
    ///
    /// [`ReapError::Interrupted`] when a signal came before any completion. The other errors say
    /// that nothing more will come.
    ///
    /// # Deadlocks
    ///
    /// The thread runs the wakers of operations, and the destructors of buffers whose operations
    /// were abandoned. Don't hold a lock meanwhile that one of these takes, such as the lock of a
    /// pool to which buffers go back: the thread would wait for itself.
    ///
    /// # Panics
    ///
    /// With the panic of a waker or of an abandoned buffer's destructor that it ran. The queue
    /// stays in order, and the other wakers were woken.
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

    /// Makes a handle that reaps, and doesn't keep the queue open.
    pub fn reaper(&self) -> Reaper {
        Reaper::new(self.shared.hold())
    }

    /// Waits until nothing is in flight, abandoned operations included. A write whose handle was
    /// dropped still lands, and this tells when it has. Results that weren't taken stay.
    ///
    /// It also waits for operations that other threads submit meanwhile.
    ///
    /// # Errors
    ///
    /// [`CloseError::Closed`], [`CloseError::Forked`], and [`CloseError::Reap`] when completions
    /// can't be had any more.
    pub fn drain(&self) -> Result<(), CloseError> {
        if !self.shared.process.is_current() {
            return Err(CloseError::Forked);
        }
        if self.shared.gate.is_closed() && self.in_flight() == 0 {
            return Err(CloseError::Closed);
        }
        self.shared.drain()
    }

    /// Cancels polls, waits until nothing is in flight, and destroys the context. From now on all
    /// other clones of this queue answer with `Closed`. Results that weren't taken stay.
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

    /// How many slots the queue has.
    pub fn depth(&self) -> u32 {
        self.shared.slab.depth()
    }

    /// How many operations are in flight: submitted, and their completions not yet reaped. While
    /// other threads submit or reap, the count may include operations that the kernel is about to
    /// refuse, or that are over.
    pub fn in_flight(&self) -> usize {
        self.shared.gate.count().in_flight
    }

    /// Whether the queue reads completions from the ring that the kernel shares with the process,
    /// which takes no system call. Otherwise, and to wait, it calls `io_getevents`. It never calls
    /// `io_pgetevents`, which some filters on system calls forbid.
    pub fn reads_ring(&self) -> bool {
        self.shared.ring.is_some()
    }

    /// How many events came that belong to no request in flight. The queue drops them. The count is
    /// 0 unless other code uses the queue's context or writes to its ring.
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
