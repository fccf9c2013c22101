//! The kernel that carries requests on files out by threads.

#![allow(unsafe_code, reason = "hands the calls on")]

use std::{
    fmt,
    mem::MaybeUninit,
    num::NonZero,
    sync::{
        Arc,
        atomic::{
            AtomicPtr,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;

use super::{files::Files, master::Master, pool::Pool};
use crate::kernel::{Kernel, Ring};

/// The interface of native AIO, carried out by threads with blocking calls. For files that the real
/// kernel serves only within `io_submit` (buffered files, pipes, sockets, terminals), and for
/// machines where native AIO is switched off.
///
/// ```
/// use aio_safe::{Op, Queue, kernel::Threads};
///
/// let queue = Queue::with_kernel(8, Threads::new())?;
/// let file = std::fs::File::open("Cargo.toml")?;
/// let read = queue.submit(&file, Op::read(Vec::with_capacity(4096), 0))?.wait();
/// assert!(read.buffer.starts_with(b"[package]"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
///
/// Worker threads are started when there is work, and end when there has been none for five
/// seconds. A transfer of a pipe, a socket, a terminal or another character device waits in one
/// more thread until the file is ready, so it keeps no worker. All signals are blocked in these
/// threads.
///
/// # What is done in order
///
/// On each file, in the order of submission and one at a time: appends; reads that wait until a
/// stream is ready (pipe, socket, terminal, eventfd and the like); writes that wait for that. A
/// sync begins when the writes that were submitted before it are over. Nothing else is ordered.
///
/// Streams other than pipes and sockets are known by the descriptor's number, as long as that is of
/// the same open file. So use one descriptor for such a stream.
///
/// # What differs from the real kernel
///
/// - `io_submit` never waits for a file or a device.
/// - Each request in flight has a file descriptor of its own, a duplicate. Requests on one pipe or
///   socket share one, and so do requests on one file that follow each other in one `io_submit`.
///   Other streams have one more, as long as they have requests.
///   `io_submit` says EAGAIN when the process has none left. A child made by
///   `fork` inherits duplicates, and keeps the files open until it ends or calls `exec`. Closing a
///   duplicate releases the process's record locks on the file (`fcntl` with `F_SETLK`), as closing
///   any descriptor does. So don't use these locks on the same files. Locks of open file
///   descriptions (`F_OFD_SETLK`) are safe.
/// - Requests that no worker carries out yet can be cancelled. Their events have ECANCELED. A
///   transfer of a stream can be cancelled while it waits for the file, but not while a worker
///   looks whether the file is ready.
/// - A sync waits for earlier writes.
/// - A poll ends when the file is ready at the moment in which its thread looks. If another thread
///   reads the data before that, the poll goes on.
/// - Some of what the real kernel refuses fails with an event instead: realtime priority without
///   the capability, flags that the kernel or the file doesn't know, offsets that overflow, memory
///   that can't be read, polls of files that can't be polled. `/dev/full` and other devices can be
///   used that the real kernel refuses.
/// - Signals don't end `io_getevents`.
/// - A write to a pipe or a socket that nobody reads sends no SIGPIPE. Its event has EPIPE.
/// - Requests that no worker carries out yet are lost when the process exits.
/// - Workers make their calls as the thread that started them: with its filter on system calls, and
///   its set of processors.
///
/// # What keeps a worker
///
/// Some files say that they are ready, and wait all the same: an eventfd for a number that is too
/// large, an inotify descriptor whose data another process took first, a terminal that lacks room
/// for the two bytes of a new line. Some files of `/proc` wait and don't say so (`/proc/kmsg`). A
/// call on these keeps a worker until it is over, and closing the queue waits for it. If 64 workers
/// are kept like that, the process's other requests wait.
pub struct Threads {
    master: Master<Files>,
}

/// How many workers the process's own pool has at most.
const SHARED_LIMIT: NonZero<usize> = NonZero::new(64).expect("it isn't 0");

impl Threads {
    /// Uses the process's own workers: at most 64, for all kernels that were made like this.
    pub fn new() -> Self {
        Self {
            master: Master::new(pool_of_process()),
        }
    }

    /// Has workers of its own, at most as many as `limit`.
    pub fn with_limit(limit: NonZero<usize>) -> Self {
        Self {
            master: Master::new(Arc::new(Pool::new(Files::new(), limit))),
        }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("workers", &self.master.workers())
            .finish_non_exhaustive()
    }
}

/// The process's own pool. It lives as long as the process.
pub(crate) fn pool_of_process() -> Arc<Pool<Files>> {
    static POOL: AtomicPtr<Pool<Files>> = AtomicPtr::new(std::ptr::null_mut());
    // ORDERING: Acquire, not Relaxed: because the pool that another thread made is used below. No
    // model reaches it: it is a static, which would live from one execution to the next.
    let mut found = POOL.load(Acquire);
    loop {
        if !found.is_null() {
            // SAFETY: the pointer is from `Arc::into_raw` below, and that count is never given up.
            unsafe { Arc::increment_strong_count(found) };
            // SAFETY: the pointer is from `Arc::into_raw` below. The count was raised just now.
            let pool = unsafe { Arc::from_raw(found) };
            // A child's threads are its own. Its parent's pool is left as it is: a lock of it may
            // be held by a thread that doesn't exist here.
            if pool.is_current() {
                return pool;
            }
            std::mem::forget(pool);
        }
        let new = Arc::new(Pool::new(Files::new(), SHARED_LIMIT));
        let raw = Arc::into_raw(Arc::clone(&new)).cast_mut();
        // ORDERING: Release, not Relaxed: because other threads use the pool that was made here.
        // ORDERING: Acquire, not Relaxed: because the pool that another thread made is used above.
        match POOL.compare_exchange(found, raw, Release, Acquire) {
            Ok(_) => return new,
            Err(theirs) => {
                // SAFETY: the pointer is from `into_raw`, and nobody else has it.
                drop(unsafe { Arc::from_raw(raw) });
                found = theirs;
            }
        }
    }
}

// SAFETY: the master keeps the promises, as it says. `Files` carries a request out with calls that
// touch only the memory that it names, and only while they run. The `res` of a transfer is what the
// kernel returned, or the sum for a stream's write. None of the methods runs foreign code.
unsafe impl Kernel for Threads {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        self.master.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
        // unused until the events: the caller promises that.
        unsafe { self.master.io_submit(ctx, iocbs) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: nobody else takes events of this context meanwhile, which the caller promises.
        unsafe { self.master.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        // SAFETY: the context lives while the ring is used, which the caller promises.
        unsafe { self.master.ring(ctx) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        self.master.io_cancel(ctx, iocb)
    }

    unsafe fn end_waits(&self, ctx: AioContext) {
        self.master.end_waits(ctx);
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        self.master.io_destroy(ctx)
    }
}
