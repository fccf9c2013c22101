//! The kernels of aio-safe, called as a queue calls them: through the seam.

use std::{
    fmt,
    mem::MaybeUninit,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aio_safe::kernel::Kernel;
use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent, Iocb},
};

use super::{Ring, Timeout};
use crate::on::On;

/// A kernel of aio-safe, and the context that it made.
///
/// The seam takes slices, durations, and iocbs that can be accessed. A case that has anything else
/// isn't for it: it ends with a panic or a signal. Any number may stand for a context. The kernels
/// look for it among their own.
pub(super) struct Seam {
    kernel: Box<dyn Kernel>,
    raw: AioContext,
    /// Whether the context was destroyed.
    ended: AtomicBool,
}

/// The kernel that makes the contexts of this process, if it isn't the real one.
static CHOSEN: OnceLock<On> = OnceLock::new();

/// All that were made in this process. They stay here, and answer for the handles of contexts that
/// were destroyed.
static MADE: Mutex<Vec<Arc<Seam>>> = Mutex::new(Vec::new());

/// The `aio_data` of the requests with which a hybrid ends a wait of its own. Their `res` is 0, and
/// no case has both in an event.
const KICK: u64 = u64::MAX;

/// Has this kernel make the contexts of this process.
pub(crate) fn use_kernel(on: On) {
    if on != On::Native {
        CHOSEN.set(on).expect("a process runs one case");
    }
}

fn made() -> MutexGuard<'static, Vec<Arc<Seam>>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seam {
    /// `io_setup`. `None` if it is for the real kernel.
    pub(super) fn setup(nr_events: u32) -> Option<Result<Arc<Self>, Errno>> {
        let kernel = CHOSEN.get()?.kernel();
        Some(kernel.io_setup(nr_events).map(|raw| {
            let seam = Arc::new(Self {
                kernel,
                raw,
                ended: AtomicBool::new(false),
            });
            made().push(Arc::clone(&seam));
            seam
        }))
    }

    /// Who answers for this handle: the last one whose context has it, or the last one of all if
    /// there is none. `None` if it is the real kernel.
    pub(super) fn of(raw: AioContext) -> Option<Arc<Self>> {
        CHOSEN.get()?;
        if made().is_empty() {
            let _ = Self::setup(1)?;
        }
        let made = made();
        let found = made.iter().rfind(|seam| seam.raw == raw);
        found.or(made.last()).map(Arc::clone)
    }

    /// The handle of the context.
    pub(super) fn raw(&self) -> AioContext {
        self.raw
    }

    /// `io_submit`.
    pub(super) fn submit(&self, raw: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the iocb of a `Request` and the buffers that it names are never unmapped, or
        // fault, and are only accessed through raw pointers. A case that submits to a context that
        // it destroyed makes no other, so no other can have the same handle.
        unsafe { self.kernel.io_submit(raw, iocbs) }
    }

    /// `io_getevents`. Takes the events of both rings, if there are two.
    pub(super) fn getevents(
        &self,
        raw: AioContext,
        min: usize,
        room: usize,
        timeout: Timeout,
    ) -> Result<Vec<IoEvent>, Errno> {
        let timeout = duration(timeout);
        if self.second_ring(raw).is_none() {
            return self.take_first(raw, min, room, timeout);
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut taken = Vec::new();
        loop {
            taken.extend(self.take_second(raw, room - taken.len()));
            let missing = min.saturating_sub(taken.len());
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match self.take_first(raw, missing, room - taken.len(), left) {
                Ok(events) => taken.extend(events),
                Err(errno) if taken.is_empty() => return Err(errno),
                Err(_) => return Ok(taken),
            }
            taken.extend(self.take_second(raw, room - taken.len()));
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if taken.len() >= min || late {
                return Ok(taken);
            }
        }
    }

    /// `io_getevents` itself, without the events of the kernel's own requests.
    fn take_first(
        &self,
        raw: AioContext,
        min: usize,
        room: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<IoEvent>, Errno> {
        let mut events = vec![MaybeUninit::uninit(); room];
        // SAFETY: a case for the seam takes a context's events in one thread at a time.
        let got = unsafe { self.kernel.io_getevents(raw, min, &mut events, timeout) }?;
        events.truncate(got);
        let taken = events.into_iter().map(|event| {
            // SAFETY: `Kernel` promises that as many events are initialised as it returned.
            unsafe { event.assume_init() }
        });
        Ok(taken
            .filter(|event| (event.data, event.res) != (KICK, 0))
            .collect())
    }

    /// Takes events from the second ring.
    fn take_second(&self, raw: AioContext, room: usize) -> Vec<IoEvent> {
        self.second_ring(raw)
            .map_or_else(Vec::new, |ring| ring.take(room))
    }

    fn second_ring(&self, raw: AioContext) -> Option<Ring<'_>> {
        if !self.lives(raw) {
            return None;
        }
        // SAFETY: the context lives, and the `Ring` of the seam is used at once.
        let ring = unsafe { self.kernel.second_ring(raw) }?;
        // SAFETY: the header is of a kernel's ring. A hybrid frees the memory of its second ring
        // when it is dropped, and the result borrows `self`, which has the hybrid.
        Some(unsafe { Ring::at(ring.header()) })
    }

    /// The ring with the events that workers post.
    pub(super) fn ring(&self, raw: AioContext) -> Option<Ring<'_>> {
        if !self.lives(raw) {
            return None;
        }
        self.second_ring(raw).or_else(|| {
            // SAFETY: the context lives, and the `Ring` of the seam is used at once.
            let ring = unsafe { self.kernel.ring(raw) }?;
            // SAFETY: the header is of a kernel's ring. It stays mapped until the context is
            // destroyed: `Context::ring` lends the context to the `Ring`.
            Some(unsafe { Ring::at(ring.header()) })
        })
    }

    fn lives(&self, raw: AioContext) -> bool {
        self.raw == raw && !self.ended.load(SeqCst)
    }

    /// `io_cancel`.
    pub(super) fn cancel(&self, raw: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the iocb of a `Request` is never unmapped.
        match unsafe { self.kernel.io_cancel(raw, iocb) } {
            // The seam has both answers for the same.
            Ok(()) => Err(Errno::EINPROGRESS),
            answer => answer,
        }
    }

    /// `io_destroy`.
    pub(super) fn destroy(&self, raw: AioContext) -> Result<(), Errno> {
        self.ended.fetch_or(self.raw == raw, SeqCst);
        // SAFETY: nobody reads the ring from now on, because of the mark. A case that submits to
        // the context from now on makes no other, so no other can have the same handle.
        unsafe { self.kernel.io_destroy(raw) }
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seam")
            .field("on", &CHOSEN.get())
            .field("raw", &self.raw)
            .finish_non_exhaustive()
    }
}

/// The timeout, if there is one.
fn duration(timeout: Timeout) -> Option<Duration> {
    let parts = match timeout {
        Timeout::Inaccessible => panic!("the seam has no pointer to a timeout"),
        Timeout::Long if CHOSEN.get() == Some(&On::Sim) => return None,
        other => other.parts()?,
    };
    let seconds = u64::try_from(parts.0).expect("the seam has no negative timeout");
    let nanoseconds = u32::try_from(parts.1).expect("the seam has no negative timeout");
    Some(Duration::new(seconds, nanoseconds))
}
