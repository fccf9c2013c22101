//! A pool of threads that take completions and call a function for each.

mod batch;
mod call;
mod crew;
mod due;
mod room;
mod threads;

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use super::{Builder, Stats};
use crate::{
    Op, Queue, SubmitError,
    engine::driver::Mode,
    error::{CloseError, QueueError, SetupError},
    kernel::Kernel,
    op::Payload,
};

use crew::Crew;
use threads::Threads;

pub use batch::CompletionBatch;
pub use room::CompletionPermit;

/// A queue with a pool of threads. Each operation has a function. When the operation is over, a
/// thread of the pool calls the function with the result. Made by [`Builder::completion_pool`].
///
/// The program submits and goes on. It needs no handle, no task and no loop that reaps. This is the
/// design of Windows' completion ports, and of SGI's KAIO ("split phases").
///
/// A `CompletionPool` is cheap to clone. All clones are the same pool, and any thread may use any
/// of them. The functions may, too.
///
/// ```
/// use std::sync::mpsc;
///
/// use aio_safe::{Op, Queue};
///
/// let pool = Queue::builder(64).completion_pool(2)?;
/// let file = std::fs::File::open("Cargo.toml")?;
/// let (sender, receiver) = mpsc::channel();
/// for block in 0..4 {
///     let sender = sender.clone();
///     pool.submit(&file, Op::read(vec![0; 64], block * 64), move |done| {
///         sender.send((block, done.into_result())).expect("the receiver waits");
///     })?;
/// }
/// drop(sender);
/// for (block, result) in receiver {
///     let (n, bytes) = result?;
///     println!("block {block}: {n} bytes: {bytes:?}");
/// }
/// pool.close()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # When to use it
///
/// | what is to be done with a result | what to use |
/// |---|---|
/// | it takes CPU time: checksums, compression, parsing | a completion pool |
/// | it is different each time, and nothing waits for it | a completion pool |
/// | it takes microseconds at most, for example sending to a channel | [`Pending::then`] |
/// | a task goes on with it | `.await` a [`Pending`], with a [driver](super::Driver) |
/// | one thread does all of it, at the least cost | a [`Lane`](crate::Lane) |
///
/// The functions of [`Pending::then`] run in the thread that reaps, so a slow one delays all other
/// completions. A slow function of a pool delays nothing while another thread of the pool is idle.
///
/// # Threads
///
/// The pool has as many threads as were asked for, from the start until its end. One of them reaps,
/// and then calls a function itself. Before that, it leaves reaping to an idle thread. If all
/// threads are in functions, nobody reaps. The completions stay in the kernel's ring until a
/// function returns.
///
/// As many threads as the machine has processors are enough for functions that compute. Functions
/// that block need more. All signals are blocked in the pool's threads.
///
/// # Order
///
/// Functions without a key are called in any order, and at the same time.
///
/// Functions with the same key are never called at the same time. They are called in the order in
/// which the kernel completed their operations. That may differ from the order of submission. A key
/// is any number: that of a file or of a connection, for example. Functions of other keys don't
/// wait for each other. An operation that `io_submit` refuses is over when it is refused.
///
/// # Back-pressure
///
/// An operation has one of the queue's slots until its function is about to be called. So the queue
/// is full if functions are slower than the device. Then [`submit`](Self::submit) hands the
/// operation back, and [`wait_for_slot`](Self::wait_for_slot) waits.
///
/// # Panics of functions
///
/// If a function panics, the panic hook reports it, and the panic ends there. The thread goes on
/// with the next function, also with those of the same key. [`panics`](Self::panics) tells how many
/// functions panicked.
///
/// # Dropping
///
/// When the last clone is dropped, the pool is closed, as with [`close`](Self::close). That drop
/// **waits until every function has returned**. A function that has a clone may be the one that
/// drops the last clone. Then the drop waits until nothing is in flight, and leaves the functions
/// that are still due to the pool's threads. These end without being joined.
///
/// If the last clone is forgotten ([`std::mem::forget`]), the threads stay until the process ends.
///
/// # Forking
///
/// The threads and the context stay with the process that made them. In a child process,
/// submissions fail with [`QueueError::Forked`], no function is called, and a drop does nothing. If
/// a function forks, it goes on in the child. When it returns there, its thread ends, which ends
/// the child process.
///
/// [`Pending::then`]: super::Pending::then
/// [`Pending`]: super::Pending
#[derive(Clone)]
pub struct CompletionPool {
    threads: Arc<Threads>,
}

impl Builder {
    /// Makes a queue with a pool of so many threads, which call a function for each operation. The
    /// pool drives the queue, whatever [driver](Self::driver) was chosen. See [`CompletionPool`].
    ///
    /// # Errors
    ///
    /// As [`Queue::new`](crate::Queue::new), and [`SetupError::Threads`].
    pub fn completion_pool(self, threads: usize) -> Result<CompletionPool, SetupError> {
        CompletionPool::start(self.make_on_chosen(Mode::Caller, None)?, threads)
    }

    /// As [`completion_pool`](Self::completion_pool), on a kernel of your own, for example a
    /// simulation.
    ///
    /// # Errors
    ///
    /// As [`completion_pool`](Self::completion_pool).
    pub fn completion_pool_on(
        self,
        threads: usize,
        kernel: impl Kernel,
    ) -> Result<CompletionPool, SetupError> {
        CompletionPool::start(self.make(kernel, Mode::Caller, None)?, threads)
    }
}

impl CompletionPool {
    fn start(queue: Queue, threads: usize) -> Result<Self, SetupError> {
        let threads = Threads::start(Crew::new(queue), threads)?;
        Ok(Self {
            threads: Arc::new(threads),
        })
    }

    /// Submits one operation on a file, with one `io_submit`. When it is over, a thread of the pool
    /// calls the function with the result, which has the buffer. For a transfer that is a
    /// [`BufResult`](crate::BufResult).
    ///
    /// The file may be closed while the operation is in flight. As with
    /// [`Queue::submit`](crate::Queue::submit), the kernel carries out some operations within
    /// `io_submit`, and a read of an empty pipe blocks there. A [batch](Self::batch) submits many
    /// operations with one `io_submit`.
    ///
    /// Each operation allocates once, for the function.
    ///
    /// The function may use the pool: submit, [wait for a slot](Self::wait_for_slot), close it.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] hands operation and function back when the queue is full or closed, when the
    /// kernel has no room, or after a fork. If the kernel refuses the operation itself, `submit`
    /// succeeds, and the function gets [`OpError::Refused`](crate::OpError::Refused).
    #[doc(alias = "io_submit")]
    pub fn submit<P, F>(
        &self,
        file: impl AsFd,
        op: Op<P>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        self.submit_with(file.as_fd(), op, None, function)
    }

    /// As [`submit`](Self::submit). Functions with the same key are called one after the other, in
    /// the order in which the kernel completed their operations: see
    /// [`CompletionPool`](Self#order).
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use aio_safe::{Op, Queue};
    ///
    /// let pool = Queue::builder(8).completion_pool(4)?;
    /// let zeros = std::fs::File::open("/dev/zero")?;
    /// let calls = Arc::new(Mutex::new(Vec::new()));
    /// for n in 0..8 {
    ///     let calls = Arc::clone(&calls);
    ///     // Reads of /dev/zero are over when `submit` returns. So their order is known.
    ///     pool.submit_in_order(&zeros, Op::read(vec![1; 16], 0), 7, move |_| {
    ///         calls.lock().unwrap().push(n);
    ///     })?;
    /// }
    /// pool.close()?;
    /// assert_eq!(*calls.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "io_submit")]
    pub fn submit_in_order<P, F>(
        &self,
        file: impl AsFd,
        op: Op<P>,
        key: u64,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        self.submit_with(file.as_fd(), op, Some(key), function)
    }

    fn submit_with<P, F>(
        &self,
        file: BorrowedFd<'_>,
        op: Op<P>,
        key: Option<u64>,
        function: F,
    ) -> Result<(), SubmitError<(Op<P>, F)>>
    where
        P: Payload,
        F: FnOnce(P::Output) + Send + 'static,
    {
        match self.claim() {
            Ok(index) => call::submit(self.crew(), index, file, op, key, function),
            Err(reason) => Err(SubmitError {
                reason,
                op: (op, function),
            }),
        }
    }

    /// Claims a slot. Reaping wouldn't free one: a slot is in use until its function is called.
    fn claim(&self) -> Result<u32, QueueError> {
        let shared = self.crew().queue.shared();
        let is_usable = shared.process.is_current() && !shared.gate.is_closed();
        let index = is_usable.then(|| shared.slab.claim(1).next()).flatten();
        index.ok_or_else(|| shared.why_not_submitted())
    }

    /// Makes a batch: operations that go to the kernel together, in one `io_submit`.
    pub fn batch(&self) -> CompletionBatch<'_> {
        CompletionBatch::new(self)
    }

    /// Closes the pool, even if clones are left. As soon as it begins, submissions fail with
    /// [`QueueError::Closed`], also those of functions. It cancels polls, waits until nothing is in
    /// flight and every function has returned, and ends the threads.
    ///
    /// In a function of the pool, it waits only until nothing is in flight. The functions that are
    /// still due are called later, and the threads end after that.
    ///
    /// # Errors
    ///
    /// As [`Queue::close`](crate::Queue::close). [`CloseError::Closed`] when another clone has
    /// closed the pool. A pool whose context is broken has ended its operations already, with EIO.
    /// If the context couldn't be destroyed, the operations are lost, and their functions are
    /// dropped. Each of them counts as a panic.
    ///
    /// # Deadlocks
    ///
    /// - It waits for functions. So a function must not wait for the thread that closes the pool.
    /// - It waits for threads that are inside `io_submit`, for example because of a pipe: see
    ///   [`Queue::submit`](crate::Queue::submit).
    #[doc(alias = "io_destroy")]
    pub fn close(self) -> Result<(), CloseError> {
        self.threads.end()
    }

    /// How many slots the queue has.
    pub fn depth(&self) -> u32 {
        self.crew().queue.depth()
    }

    /// How many operations were submitted whose functions haven't returned. While other threads
    /// submit, the count may include operations that are about to be handed back.
    pub fn unfinished(&self) -> usize {
        self.crew().unfinished()
    }

    /// How many functions panicked.
    pub fn panics(&self) -> usize {
        self.crew().panics()
    }

    /// What the queue has done so far.
    pub fn stats(&self) -> Stats {
        self.crew().queue.stats()
    }

    fn crew(&self) -> &Arc<Crew> {
        self.threads.crew()
    }
}

impl fmt::Debug for CompletionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionPool")
            .field("depth", &self.depth())
            .field("unfinished", &self.unfinished())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}
