//! The kernel that takes the way on which a request can't block the thread that submits it.

#![allow(unsafe_code, reason = "is a kernel: see its promises")]

mod counts;
mod native;
mod way;

use std::{
    fmt,
    mem::MaybeUninit,
    num::NonZero,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, KIOCB_KEY};
use aio_sys::Errno;

use self::{counts::Counts, native::Native, way::Way};
use super::{
    Kernel, Linux, Ring, Ways,
    threads::{
        context::Context,
        files::{self, Class, Files, Look},
        kernel::pool_of_process,
        pool::Pool,
        submit::Submission,
    },
};

/// The real kernel for what it serves asynchronously, and worker threads for the rest.
///
/// ```
/// use aio_safe::{Op, Queue, kernel::Hybrid};
///
/// let queue = Queue::with_kernel(8, Hybrid::new())?;
/// let (near, far) = std::os::unix::net::UnixStream::pair()?;
/// // The real kernel would wait for the socket's data within `io_submit`.
/// let read = queue.submit(&near, Op::read(Vec::with_capacity(8), 0))?;
/// queue.submit(&far, Op::write(b"hello".to_vec(), 0))?.wait().into_result()?;
/// assert_eq!(read.wait().buffer, b"hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// | request | way |
/// |---|---|
/// | transfer with `O_DIRECT` | the real kernel |
/// | the same, of a [`fs::File`] | also; a worker if it can't be carried out without waiting |
/// | read of a file in the page cache, up to 64 KiB | at once if it is there, otherwise a worker |
/// | larger read of such a file | a worker |
/// | write to a file in the page cache | a worker |
/// | transfer of a pipe, a socket, a terminal | a worker, when the file is ready |
/// | sync of a file in the page cache | a worker, after the writes that were submitted before it |
/// | other sync, poll, transfer of no bytes | the real kernel |
/// | any, where the process may not use native AIO | a worker |
///
/// [`fs::File`]: crate::fs::File
///
/// # What it costs
///
/// A transfer that a direct [`fs::File`] made costs what it costs without this, unless it is a
/// write and Linux is one of 6.0 to 6.19. For other transfers the kernel is asked what kind of file
/// a descriptor is: two system calls for each `io_submit` and each file in it. The answer isn't
/// remembered, because a number may be closed and used for another file.
///
/// # Where a direct transfer would wait
///
/// `io_submit` of the real kernel waits when the device's queue is full, or when the file system
/// has to read or to allocate first. A direct transfer that a [`fs::File`] made is submitted with
/// `RWF_NOWAIT`. If the kernel answers EAGAIN, a worker carries the transfer out, and nobody
/// notices. That isn't done for writes to files on Linux 6.0 to 6.19: those kernels answer nearly
/// all of them so. A transfer of a bare descriptor is submitted without the flag, because the
/// descriptor may be closed when the answer comes.
///
/// Looking into the page cache starts to read what isn't there (`preadv2` with `RWF_NOWAIT`). That
/// may wait for room in the device's queue. One worker then takes the data of all such reads, one
/// after the other. If a millisecond passes without progress, each gets a worker.
///
/// # One queue
///
/// A value serves one queue: a second `io_setup` fails with EBUSY.
///
/// What [`Threads`](super::Threads) says of order and of differences holds for what workers carry
/// out.
pub struct Hybrid {
    /// How many workers of its own it has. `None`: it uses the process's.
    limit: Option<NonZero<usize>>,
    counts: Counts,
    parts: OnceLock<Parts>,
}

/// The class of a file that the kernel was asked about in this submission. It isn't kept longer:
/// the number may be another file's by then, for which the real kernel might wait without end.
#[derive(Default)]
struct Known(Option<(u32, Class)>);

impl Known {
    fn class(&mut self, fd: u32) -> Class {
        match self.0 {
            Some((known, class)) if known == fd => class,
            _ => {
                let class = files::class(fd);
                self.0 = Some((fd, class));
                class
            }
        }
    }
}

/// The contexts. Programs know both by one handle: the real kernel's, if there is one.
struct Parts {
    native: Result<Arc<Native>, Errno>,
    own: Arc<Context<Files>>,
}

impl Parts {
    fn handle(&self) -> AioContext {
        match &self.native {
            Ok(native) => native.ctx,
            Err(_) => self.own.handle(),
        }
    }
}

impl Hybrid {
    /// Uses the process's own workers, as [`Threads::new`](super::Threads::new).
    pub fn new() -> Self {
        Self {
            limit: None,
            counts: Counts::default(),
            parts: OnceLock::new(),
        }
    }

    /// Has workers of its own, at most as many as `limit`, as
    /// [`Threads::with_limit`](super::Threads::with_limit).
    pub fn with_limit(limit: NonZero<usize>) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new()
        }
    }

    fn parts(&self, ctx: AioContext) -> Result<&Parts, Errno> {
        match self.parts.get() {
            Some(parts) if parts.handle() == ctx && parts.own.pool.is_current() => Ok(parts),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the real kernel carries all of these requests out without waiting. The answer may be
    /// no though it does: this makes no system call.
    ///
    /// # Safety
    ///
    /// Each pointer is to an iocb that nobody changes during the call.
    #[inline(always)]
    pub(super) unsafe fn is_all_native(&self, iocbs: &[*mut Iocb]) -> bool {
        let has_native = matches!(self.parts.get(), Some(Parts { native: Ok(_), .. }));
        // SAFETY: nobody changes the iocb, which the caller promises.
        let never_waits = |&iocb: &*mut Iocb| way::never_waits(unsafe { &*iocb });
        has_native && iocbs.iter().all(never_waits)
    }

    /// Submits requests that all take the same way.
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_submit`] requires.
    unsafe fn submit_run(
        &self,
        parts: &Parts,
        way: Way,
        iocbs: &[*mut Iocb],
    ) -> Result<usize, Errno> {
        match (&parts.native, way) {
            (Ok(native), Way::Native) => {
                // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid
                // and unused until the events: the caller promises that.
                unsafe { Linux.io_submit(native.ctx, iocbs) }
            }
            (_, Way::PageCache) => {
                // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid
                // and unused until the events: the caller promises that.
                unsafe { self.read_cached(parts, iocbs) }
            }
            (_, Way::Native | Way::Worker) => {
                // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid
                // and unused until the events: the caller promises that.
                unsafe { self.submit_to_workers(parts, iocbs) }
            }
        }
    }

    /// Hands requests to workers.
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_submit`] requires.
    unsafe fn submit_to_workers(&self, parts: &Parts, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
        // unused until the events: the caller promises that.
        let result = unsafe { parts.own.submit(iocbs) };
        self.counts.workers.add(*result.as_ref().unwrap_or(&0));
        result
    }

    /// Reads at once what is in the page cache. Hands the other requests to workers together.
    ///
    /// # Safety
    ///
    /// As [`Kernel::io_submit`] requires.
    unsafe fn read_cached(&self, parts: &Parts, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let mut submission = Submission::new(&parts.own);
        let mut accepted = 0;
        for (n, &pointer) in iocbs.iter().enumerate() {
            let next = iocbs.get(n + 1).copied();
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            match unsafe { self.read_one_cached(parts, &mut submission, pointer, next) } {
                Ok(()) => accepted += 1,
                Err(errno) if accepted == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(accepted)
    }

    /// Reads at once what is in the page cache, or adds the request to those for workers.
    ///
    /// # Safety
    ///
    /// As [`Submission::add`] requires.
    unsafe fn read_one_cached(
        &self,
        parts: &Parts,
        submission: &mut Submission<'_, Files>,
        pointer: *mut Iocb,
        next: Option<*mut Iocb>,
    ) -> Result<(), Errno> {
        parts.own.has_room()?;
        // SAFETY: nobody else uses the iocb, which the caller promises.
        let iocb = unsafe { &mut *pointer };
        let eventfd = files::eventfd(iocb)?;
        // SAFETY: the caller promises that the memory is valid and unused until the event.
        let res = match unsafe { files::read_cached(iocb) } {
            Look::Read(res) => res,
            Look::Missed { started } => {
                // SAFETY: nobody else uses the iocbs during the call, and the memory stays valid
                // and unused until the event: the caller promises that.
                unsafe { submission.add(pointer, next, started) }?;
                self.counts.workers.add(1);
                return Ok(());
            }
        };
        iocb.aio_key = KIOCB_KEY;
        let event = IoEvent {
            data: iocb.aio_data,
            obj: pointer.addr() as u64,
            res,
            res2: 0,
        };
        parts.own.post_at_once(event, eventfd)?;
        self.counts.page_cache.add(1);
        Ok(())
    }
}

impl Default for Hybrid {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.parts.get().map(|parts| self.counts.ways(parts));
        f.debug_struct("Hybrid").field("ways", &ways).finish()
    }
}

// SAFETY: the real kernel keeps the promises for what it is given, and so does the context of the
// workers. A request is given to one of them. A read at once touches the buffer only within the
// call, and has one event, or is given to a worker.
unsafe impl Kernel for Hybrid {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let mut made = false;
        let native = match Native::setup(nr_events) {
            Ok(native) => Ok(Arc::new(native)),
            // EAGAIN: used up by others.
            Err(errno) if native::is_missing(errno) || errno == Errno::EAGAIN => Err(errno),
            Err(errno) => return Err(errno),
        };
        let outside = native.clone().ok().map(|native| native as _);
        let pool = match self.limit {
            Some(limit) => Arc::new(Pool::new(Files::new(), limit)),
            None => pool_of_process(),
        };
        let own = Context::setup(&pool, nr_events, outside);
        let parts = own.map(|own| {
            self.parts.get_or_init(|| {
                made = true;
                Parts {
                    native: native.clone(),
                    own,
                }
            })
        });
        match (parts, native) {
            (Ok(parts), _) if made => Ok(parts.handle()),
            (parts, native) => {
                if let Ok(native) = native {
                    // SAFETY: the context was made just now, and nobody uses it.
                    let _ = unsafe { Linux.io_destroy(native.ctx) };
                }
                Err(parts.err().unwrap_or(Errno::EBUSY))
            }
        }
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let parts = self.parts(ctx)?;
        let mut known = Known::default();
        let mut accepted = 0;
        let mut rest = iocbs;
        while let Some(&first) = rest.first() {
            // SAFETY: nobody else uses the iocbs, which the caller promises.
            let mut way = |iocb: *mut Iocb| Way::of(unsafe { &*iocb }, |fd| known.class(fd));
            let run_way = way(first);
            let others = rest[1..].iter();
            let run = 1 + others.take_while(|&&iocb| way(iocb) == run_way).count();
            // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
            // unused until the events: the caller promises that.
            match unsafe { self.submit_run(parts, run_way, &rest[..run]) } {
                Ok(n) => {
                    accepted += n;
                    if n < run {
                        break;
                    }
                }
                Err(errno) if accepted == 0 => return Err(errno),
                Err(_) => break,
            }
            rest = &rest[run..];
        }
        Ok(accepted)
    }

    unsafe fn can_wait(&self, ctx: AioContext) -> bool {
        self.parts(ctx).is_ok_and(|parts| parts.native.is_ok())
    }

    unsafe fn io_submit_and_wait(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let parts = self.parts(ctx)?;
        // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid and
        // unused until the events: the caller promises that.
        let result = unsafe { parts.own.submit(&[iocb]) };
        match (result, &parts.native) {
            // There is no thread or no descriptor for it. It is carried out all the same, and may
            // block this thread.
            (Err(Errno::EAGAIN), Ok(native)) => {
                // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid
                // and unused until the events: the caller promises that.
                unsafe { Linux.io_submit(native.ctx, &[iocb]) }.map(|_| ())
            }
            (result, _) => {
                self.counts.again.add(*result.as_ref().unwrap_or(&0));
                result.map(|_| ())
            }
        }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let parts = self.parts(ctx)?;
        let Ok(native) = &parts.native else {
            // SAFETY: nobody else takes events of this context meanwhile, which the caller
            // promises.
            return unsafe { parts.own.take(min, events, timeout) };
        };
        // The workers' events are in the second ring.
        let has_others = || parts.own.ring().len() > 0;
        // SAFETY: nobody else takes events of this context meanwhile, which the caller promises.
        unsafe { native.wait(min, events, timeout, has_others) }
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let parts = self.parts(ctx).ok()?;
        match &parts.native {
            // SAFETY: the context lives while the ring is used, which the caller promises.
            Ok(native) => unsafe { Linux.ring(native.ctx) },
            // SAFETY: the context lives while the ring is used, which the caller promises.
            Err(_) => unsafe { parts.own.ring().reader() },
        }
    }

    unsafe fn second_ring(&self, ctx: AioContext) -> Option<Ring> {
        let parts = self.parts(ctx).ok()?;
        parts.native.as_ref().ok()?;
        // SAFETY: the memory lives as long as the context, which lives as long as this kernel.
        unsafe { parts.own.ring().reader() }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let parts = self.parts(ctx)?;
        match (parts.own.cancel(iocb), &parts.native) {
            (Ok(()), _) => Ok(()),
            // SAFETY: the iocb stays readable during the call, which the caller promises.
            (Err(_), Ok(native)) => unsafe { Linux.io_cancel(native.ctx, iocb) },
            (Err(errno), Err(_)) => Err(errno),
        }
    }

    unsafe fn end_waits(&self, ctx: AioContext) {
        if let Ok(parts) = self.parts(ctx) {
            parts.own.cancel_endless();
        }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        let parts = self.parts(ctx)?;
        // This one first: its workers kick whoever waits in the other.
        parts.own.destroy()?;
        match &parts.native {
            // SAFETY: from now on nobody reads the ring or submits, which the caller promises.
            Ok(native) => unsafe { Linux.io_destroy(native.ctx) },
            Err(_) => Ok(()),
        }
    }

    unsafe fn ways(&self, ctx: AioContext) -> Option<Ways> {
        let parts = self.parts(ctx).ok()?;
        Some(self.counts.ways(parts))
    }
}
