//! The queue: making one, submitting one operation, reaping, draining and closing.
//!
//! # Events
//!
//! With the feature `tracing`, queues and lanes emit these events of the crate tracing. Their
//! target is `aio_safe`. All times are in microseconds.
//!
//! | message | level | when | fields |
//! |---|---|---|---|
//! | `submitted` | TRACE | `io_submit` accepted operations | `operations`, `took_us` |
//! | `without native AIO` | DEBUG | a [hybrid](Builder::hybrid) queue has none | `error` |
//! | `refused` | DEBUG | `io_submit` refused an operation | `opcode`, `fd`, `offset`, `error` |
//! | `not submitted` | DEBUG | a full or closed queue, or EAGAIN | `operations`, `reason` |
//! | `waits for a slot` | DEBUG | [`reserve`](crate::Queue::reserve) finds none | |
//! | `got a slot` | DEBUG | the wait is over | `waited_us` |
//! | `completed` | TRACE | a result is taken, or dropped | see below |
//!
//! `took_us` is the time within `io_submit`.
//!
//! `completed` has `opcode`, `fd` and `offset`, and either `result` or `error`. `latency_us` is the
//! time from `io_submit` until a thread reaped the completion. `taken_after_us` is the time from
//! then until the result was taken. `abandoned` says that nobody takes the result.
//!
//! A long `took_us` means that the kernel carried operations out within `io_submit`: see
//! [`fs::File::asynchrony`](crate::fs::File::asynchrony). A long `taken_after_us` means that a task
//! was polled late.
//!
//! The thread that submits or takes emits the event, in its current span. Times are taken while a
//! subscriber wants TRACE events of this target, from the submission on. If a subscriber panics,
//! the panic hook reports it, and the panic ends there.
//!
//! A subscriber may use the queue. If that emits events to the same subscriber, the subscriber has
//! to end the recursion. A subscriber that waits for a slot may wait for ever: with `completed` and
//! `got a slot`, the thread that emits the event still has a slot. In the queue's
//! [driver](Driver), a subscriber that awaits an operation without reaping waits for ever too.

#![allow(unsafe_code, reason = "fills slots and submits them")]

mod batch;
mod builder;
mod callback;
mod closing;
mod completion_pool;
mod event;
mod list;
mod pending;
mod reaper;
mod reserve;
mod signal;
mod stats;

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
    kernel::{Kernel, Ways},
    op::{Payload, ReadWrite},
};

pub use batch::Batch;
pub use builder::{Builder, Driver};
pub use callback::Callback;
pub use closing::Closing;
pub use completion_pool::{CompletionBatch, CompletionPermit, CompletionPool};
pub use event::EventQueue;
pub use pending::Pending;
pub use reaper::Reaper;
pub use reserve::{Permit, Reserve};
pub use signal::Signal;
pub use stats::{Stats, SystemCalls};

/// A submission queue: one native AIO context, and the operations in flight on it.
///
/// A `Queue` is cheap to clone. All clones are the same queue, and any thread may use any of them.
///
/// # Slots
///
/// A queue of depth 32 has 32 slots. An operation takes a slot when it is submitted. The slot
/// becomes free when the result is taken. If the handle was dropped instead, the operation is
/// [abandoned](Pending#dropping). Then the slot becomes free when the thread that reaps the
/// completion has dropped the buffer.
///
/// # Dropping
///
/// When the last `Queue` and [`Lane`] are dropped, the queue is closed. That drop **waits for
/// everything in flight**, and destroys the context. Destroying it takes the kernel another 30 ms
/// or so. [`close`](Self::close) does the same even if clones are left, and returns errors. A task
/// should use [`close_in_thread`](Self::close_in_thread), which doesn't block its executor.
/// [`Pending`] handles outlive the queue: their results are stored before the drop returns.
///
/// The drop may run wakers and destructors. If one of them panics, the drop closes the queue first,
/// and then panics too. If the thread is panicking already, the panic ends there.
///
/// # Wakers and destructors
///
/// Threads that use a queue run the wakers of tasks, and the destructors of buffers:
///
/// - A thread that reaps wakes the tasks whose operations it completes, and drops the buffers of
///   abandoned operations. These calls reap: [`reap`](Self::reap), all methods that wait, and
///   polling a future. [`submit`](Self::submit), [`Batch::push`] and [`lane`](Self::lane) reap when
///   no slot is free.
/// - A thread that frees a slot gives it to the first task or thread that waits in
///   [`reserve`](Self::reserve), and wakes it. Taking the result of a [`Pending`] frees a slot, and
///   so does dropping a `Pending` whose result is there. Dropping a [`Permit`], a [`Lane`] or a
///   [`Batch`] frees slots. [`Batch::submit`], [`Batch::pop`] and [`Batch::clear`] may free some.
///   A call that hands an operation back with an error frees the operation's slot. If the waker of
///   a task that is given a slot panics, the panic hook reports it, and the panic ends there.
///
/// During such a call, **don't hold a lock** that a waker or a destructor takes, for example the
/// lock of a pool to which buffers go back. The thread would wait for itself.
///
/// # Forking
///
/// A context stays with the process that made it. In a child process, methods that submit or reap
/// return an error that says so, and waiting for the parent's operations panics. A drop there
/// changes nothing for the parent.
///
/// In a program that is linked statically with libgcc, a panic in a child can hang if another
/// thread was panicking at the fork. The unwinder has a lock that nothing resets.
///
/// Up to Linux 6.2 or so, data of an `O_DIRECT` read can be lost if the process forks while the
/// read is in flight. The first of the two processes to touch a page of the buffer gets a copy of
/// the page, and the device may write to the other page: see `open(2)`. This concerns buffers in
/// private memory, such as all memory from the allocator. [`drain`](Self::drain) the queue before a
/// fork.
pub struct Queue {
    shared: QueueRef,
}

impl Queue {
    /// The greatest depth of a queue: 4 194 304, which is the kernel's limit, or 32 703 on 32-bit
    /// targets.
    pub const MAX_DEPTH: u32 = gate::MAX_DEPTH;

    /// Makes a queue for at most `depth` operations at a time. It allocates the memory for them
    /// now: some 200 bytes for each.
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
        Self::builder(depth).build()
    }

    /// Begins to make a queue for at most `depth` operations at a time. The [`Builder`] says what
    /// [drives](Driver) the queue, and whether it has an eventfd.
    ///
    /// ```
    /// use aio_safe::{Queue, queue::Driver};
    ///
    /// let queue = Queue::builder(64).driver(Driver::Caller).build()?;
    /// # Ok::<_, aio_safe::error::SetupError>(())
    /// ```
    pub fn builder(depth: u32) -> Builder {
        Builder::new(depth)
    }

    /// Makes a queue on a kernel of your own, for example a simulation. The driver is a
    /// [thread](Driver::Thread), which uses this kernel too. For another driver, use
    /// [`Builder::build_on`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_kernel(depth: u32, kernel: impl Kernel) -> Result<Self, SetupError> {
        Self::builder(depth).build_on(kernel)
    }

    /// Submits one operation on a file, with one `io_submit`.
    ///
    /// The file may be closed while the operation is in flight: the kernel takes a reference of its
    /// own.
    ///
    /// It normally returns at once. It blocks within `io_submit` for buffered reads and writes
    /// (without `O_DIRECT`), because the kernel carries them out there. It may also block for
    /// direct ones, for example if they allocate blocks or find the device's queue full.
    ///
    /// If no slot is free, it first takes the completions that are there, because some may belong
    /// to abandoned operations. So `submit` may run [wakers and
    /// destructors](Queue#wakers-and-destructors). If one of them panics, the panic hook reports
    /// it, and `submit` goes on. [`Batch::push`] and [`lane`](Self::lane) do the same.
    ///
    /// Dropping the handle doesn't undo the operation: see [`Pending`](Pending#dropping).
    ///
    /// # Pipes, terminals and sockets
    ///
    /// A read of an empty pipe, terminal or socket blocks within `io_submit` until something comes,
    /// which may be never. Meanwhile [`drain`](Self::drain) and [`close`](Self::close) in other
    /// threads wait for this submission. So submit a [poll](Op::poll) first, and the read when the
    /// poll says that there is something to read. With `O_NONBLOCK` set on the file, a read that
    /// would block fails with EAGAIN instead.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands the operation back when the queue is full or closed, when the kernel
    /// has no room, or after a fork. If the kernel refuses the operation itself, `submit` succeeds,
    /// and the result is [`OpError::Refused`](crate::OpError::Refused).
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
    // Always inlined: an operation is larger than the part of it that its slot stores.
    #[inline(always)]
    pub fn submit<P: Payload>(
        &self,
        file: impl AsFd,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        // `as_fd` is the caller's code and may panic, so it runs before a slot is claimed.
        let file = file.as_fd();
        // Nothing panics before the operation is in its slot, so it needs no destructor here. With
        // one, the compiler would keep the operation in memory.
        let op = ManuallyDrop::new(op);
        let slot = self.shared.slab.claim(1).next();
        match slot.map(|index| self.shared.slab.claimed(index)) {
            Some(slot) => self.submit_in(slot, file, ManuallyDrop::into_inner(op)),
            None => self.submit_when_full(file, ManuallyDrop::into_inner(op)),
        }
    }

    /// [`submit`](Self::submit) when no slot is free. Completions that nobody reaped may hold some.
    #[cold]
    fn submit_when_full<P: Payload>(
        &self,
        file: BorrowedFd<'_>,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        match self.shared.claim_after_all(1).next() {
            Some(index) => self.submit_in(self.shared.slab.claimed(index), file, op),
            None => Err(SubmitError {
                reason: self.shared.why_not_submitted(),
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
            // SAFETY: the slot was claimed for this operation and filled with a `P` above, and
            // `submit_one` returned an error, so it isn't started.
            Err(reason) => Err(unsafe { self.hand_back(slot, reason) }),
        }
    }

    /// Takes an operation that couldn't be submitted out of its slot again.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot and filled it with a `P`, and doesn't use it again: this
    /// frees it.
    #[cold]
    unsafe fn hand_back<P: Payload>(&self, slot: &Slot, reason: QueueError) -> SubmitError<Op<P>> {
        // SAFETY: the caller has claimed the slot and filled it with a `P`, and didn't start it.
        let op = unsafe { slot.unfill() };
        // SAFETY: the slot is the caller's, and was emptied just now. `self` keeps the shared part.
        unsafe { self.shared.free_held(slot.index()) };
        SubmitError { reason, op }
    }

    /// Reserves a slot, and waits for one if the queue is full, first come first served. The method
    /// itself doesn't wait: `.await` what it returns, or [`wait`](Reserve::wait) for it in a
    /// thread. Both give a [`Permit`], which submits one operation. Dropping the [`Reserve`] or the
    /// permit submits nothing.
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
    /// [`Forked`](QueueError::Forked). A call that fails may have claimed some of the slots for a
    /// moment. Other threads may then find the queue full.
    pub fn lane<P: ReadWrite, T: Send + 'static>(
        &self,
        slots: u32,
    ) -> Result<Lane<P, T>, QueueError> {
        Lane::new(self, slots)
    }

    /// Takes completions from the kernel, and wakes the tasks and threads that wait for them. It is
    /// for an event loop of your own. Threads in [`Pending::wait`] reap by themselves.
    ///
    /// It waits until it has taken at least `min` completions, or the timeout is over. Without a
    /// timeout it waits without limit, even when nothing is in flight. It then takes the
    /// completions that are there already, and stops once it has taken as many as the queue is
    /// deep. With `min` = 0 it never waits, whatever the timeout, and takes nothing while another
    /// thread reaps.
    ///
    /// Returns how many completions this call took. Other threads may have taken some as well.
    ///
    /// **A program that calls this in a loop makes the queue with [`Driver::Caller`].** By default
    /// the [driver](Driver) is a thread, once a future has had to wait. That thread takes most
    /// completions then, and a `reap` without a timeout may never end. The same holds for a
    /// reactor.
    ///
    /// A thread that only reaps should use a [`reaper`](Self::reaper), which doesn't keep the queue
    /// open.
    ///
    /// # Errors
    ///
    /// [`ReapError::Interrupted`] when a signal came before any completion. The other errors are
    /// final: a later call that waits fails as well.
    ///
    /// # Deadlocks
    ///
    /// The call runs [wakers and destructors](Queue#wakers-and-destructors). The thread waits for
    /// itself if it holds a lock that one of them takes.
    ///
    /// # Panics
    ///
    /// When a waker or an abandoned buffer's destructor that it runs panics. It first wakes the
    /// other tasks, then goes on with the first panic. The queue stays usable.
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

    /// Makes a handle that reaps without keeping the queue open.
    pub fn reaper(&self) -> Reaper {
        Reaper::new(self.shared.hold())
    }

    /// Waits until nothing is in flight, not even an [abandoned](Pending#dropping) operation. A
    /// write whose handle or future was dropped has landed or failed when this returns. Results
    /// that weren't taken can still be taken. It blocks this thread: a task calls it in a thread
    /// for blocking work.
    ///
    /// It also waits for operations that other threads submit meanwhile.
    ///
    /// # Errors
    ///
    /// [`CloseError::Closed`], [`CloseError::Forked`], and [`CloseError::Reap`] when completions
    /// can't be taken any more and the context can't be destroyed.
    ///
    /// # Deadlocks
    ///
    /// - It waits for ever if a [poll](Op::poll) is in flight whose file never becomes ready.
    ///   Unlike [`close`](Self::close), it cancels nothing.
    /// - It runs [wakers and destructors](Queue#wakers-and-destructors). The thread waits for
    ///   itself if it holds a lock that one of them takes.
    ///
    /// # Panics
    ///
    /// When a waker or an abandoned buffer's destructor that it runs panics. Operations may still
    /// be in flight then.
    pub fn drain(&self) -> Result<(), CloseError> {
        if !self.shared.process.is_current() {
            return Err(CloseError::Forked);
        }
        if self.shared.gate.is_closed() && self.in_flight() == 0 {
            return Err(CloseError::Closed);
        }
        self.shared.drain()
    }

    /// Cancels polls, waits until nothing is in flight, and destroys the context. As soon as it
    /// begins, submitting and reaping through other clones returns `Closed`. Results that weren't
    /// taken can still be taken.
    ///
    /// # Errors
    ///
    /// [`CloseError`] names the reason. With [`CloseError::Reap`] and [`CloseError::Destroy`] the
    /// buffers of operations in flight are leaked, because the kernel may still write to them.
    ///
    /// # Deadlocks
    ///
    /// - It waits for threads that are inside `io_submit`: see [`submit`](Self::submit) on pipes.
    /// - It runs [wakers and destructors](Queue#wakers-and-destructors). The thread waits for
    ///   itself if it holds a lock that one of them takes.
    ///
    /// # Panics
    ///
    /// When an operation's waker or an abandoned buffer's destructor that it runs panics. It first
    /// closes the queue, then goes on with the first panic.
    #[doc(alias = "io_destroy")]
    pub fn close(self) -> Result<(), CloseError> {
        if !self.shared.process.is_current() {
            return Err(CloseError::Forked);
        }
        self.shared.close()
    }

    /// As [`close`](Self::close), in a thread that is started for it. So a task can close a queue
    /// without blocking its executor: `.await` what this returns. If that is dropped, closing goes
    /// on all the same. If no thread can be started, this thread closes the queue before the method
    /// returns.
    ///
    /// # Errors
    ///
    /// The result of awaiting is that of `close`.
    ///
    /// ```
    /// # async fn end(queue: aio_safe::Queue) -> Result<(), aio_safe::error::CloseError> {
    /// queue.close_in_thread().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_in_thread(self) -> Closing {
        Closing::start(self)
    }

    /// How many slots the queue has.
    pub fn depth(&self) -> u32 {
        self.shared.slab.depth()
    }

    /// How many operations are in flight: submitted, and their completions not yet reaped. A result
    /// that was reaped and not taken doesn't count here, but it does in [`Lane::in_flight`]. While
    /// other threads submit or reap, the count may include operations that the kernel is about to
    /// refuse, or that are over.
    pub fn in_flight(&self) -> usize {
        self.shared.gate.count().in_flight
    }

    /// Whether the queue reads completions from the ring that the kernel shares with the process.
    /// Reading the ring takes no system call. A queue calls `io_getevents` to wait, and to take
    /// completions if it doesn't read the ring. It never calls `io_pgetevents`, which some filters
    /// on system calls forbid.
    pub fn reads_ring(&self) -> bool {
        self.shared.ring.is_some()
    }

    /// What the queue has done so far. Reading the counts stops no other thread. So the counts may
    /// be of slightly different moments.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.shared)
    }

    /// Which ways the queue's requests took so far, and why, if its kernel has more than one: see
    /// [`Hybrid`](crate::kernel::Hybrid). The counts may be of slightly different moments.
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    ///
    /// let queue = Queue::builder(8).hybrid().build()?;
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// queue.submit(&file, Op::read(vec![0; 64], 0))?.wait().into_result()?;
    /// let ways = queue.ways().expect("a hybrid queue has several");
    /// assert_eq!(ways.page_cache + ways.workers, 1);
    /// println!("{ways}");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn ways(&self) -> Option<Ways> {
        // SAFETY: the queue's kernel made the context.
        unsafe { self.shared.kernel.ways(self.shared.ctx) }
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
        // In a child process the context is the parent's, and a lock may be held by a thread that
        // doesn't exist here.
        if !self.shared.process.is_current() || !self.shared.is_last() {
            return;
        }
        // The queue may have been closed before. A drop can't return any other error either.
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = self.shared.close();
        }));
        // A waker or a destructor may have forked.
        if !self.shared.process.is_current() {
            return;
        }
        self.shared.stop_driver();
        // SAFETY: `is_last` returned true, `close` was called above, and this is the last use of
        // the reference.
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
            .field("ways", &self.ways())
            .finish_non_exhaustive()
    }
}
