//! A context: its requests, and the ring in which their events are.

#![allow(
    unsafe_code,
    reason = "posts events, and reads the ring that another thread may read"
)]

use std::{
    mem::{self, MaybeUninit},
    os::fd::RawFd,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;

use super::{
    device::{Device, Request, Token},
    job::Job,
    pool::Pool,
    ring::RingMemory,
};
use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait, wait_timeout};

/// A context. Its requests are in numbered places.
///
/// A request is in one entry of its context until its event is posted, and each entry posts one
/// event. A worker takes a request out of its entry before it carries it out, so no other thread
/// does, and posts the event after that. The ring's tail is stored with Release after the event.
/// Iocbs are used only within [`submit`](Self::submit). [`destroy`](Self::destroy) waits until all
/// entries are free. No method runs foreign code.
pub(crate) struct Context<D: Device> {
    pub(crate) pool: Arc<Pool<D>>,
    ring: RingMemory,
    state: Mutex<State<D::Request>>,
    /// An event was posted, or the context was destroyed.
    changed: Condvar,
    outside: Option<Arc<dyn Outside>>,
    /// Orders what the holders of the context did before its destructor. An `Arc` does that, but
    /// loom doesn't see it.
    #[cfg(loom)]
    let_go: crate::sync::atomic::AtomicUsize,
}

/// Where a thread may wait that isn't in this context's `io_getevents`.
pub(crate) trait Outside: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// An event was posted.
    fn event_posted(&self);
}

struct State<R> {
    requests: Vec<Entry<R>>,
    /// The entries that are free.
    free: Vec<u32>,
    /// How many events the thread in `io_getevents` waits for. 0: there is none.
    wanted: usize,
    /// Requests that may wait for ever are cancelled when they would begin to.
    closing: bool,
    /// How many requests are over of which others aren't told yet.
    tells: usize,
    destroyed: bool,
}

struct Entry<R> {
    /// How often the entry was used. A job of an earlier use finds out that it is late.
    uses: u32,
    stage: Stage<R>,
}

enum Stage<R> {
    Free,
    /// It waits for a worker, or for other requests.
    Waiting(R),
    /// It waits until its file is ready.
    Polled(R, Token),
    /// A worker carries it out.
    Running,
}

/// The requests that a context takes besides those that were asked for: those of the queue's own.
const SPARE: u32 = if cfg!(loom) { 1 } else { 64 };
/// As the real kernel has it (`aio_setup_ring` in `fs/aio.c`).
const MOST_EVENTS: u32 = 0x40_0000;

impl<D: Device> Context<D> {
    /// As [`Kernel::io_setup`](crate::kernel::Kernel::io_setup), for a context whose events
    /// somebody may wait for elsewhere.
    ///
    /// # Errors
    ///
    /// EINVAL for a number of events that the real kernel doesn't take either, and in a child of
    /// the process that made the pool. ENOMEM.
    pub(crate) fn setup(
        pool: &Arc<Pool<D>>,
        nr_events: u32,
        outside: Option<Arc<dyn Outside>>,
    ) -> Result<Arc<Self>, Errno> {
        if nr_events == 0 || nr_events > MOST_EVENTS || !pool.is_current() {
            return Err(Errno::EINVAL);
        }
        let context = Self::new(Arc::clone(pool), nr_events + SPARE, outside);
        context.map(Arc::new).ok_or(Errno::ENOMEM)
    }

    /// What names the context.
    pub(crate) fn handle(&self) -> AioContext {
        AioContext::from_addr(self.ring.addr())
    }

    /// A context for that many requests and events. `None` if there isn't enough memory.
    fn new(pool: Arc<Pool<D>>, entries: u32, outside: Option<Arc<dyn Outside>>) -> Option<Self> {
        let count = entries as usize;
        let mut requests = Vec::new();
        requests.try_reserve_exact(count).ok()?;
        requests.extend((0..count).map(|_| Entry {
            uses: 0,
            stage: Stage::Free,
        }));
        let mut free = Vec::new();
        free.try_reserve_exact(count).ok()?;
        free.extend((0..entries).rev());
        Some(Self {
            pool,
            ring: RingMemory::with_room_for(entries)?,
            state: Mutex::new(State {
                requests,
                free,
                wanted: 0,
                closing: false,
                tells: 0,
                destroyed: false,
            }),
            changed: Condvar::new(),
            outside,
            #[cfg(loom)]
            let_go: crate::sync::atomic::AtomicUsize::new(0),
        })
    }

    pub(crate) fn ring(&self) -> &RingMemory {
        &self.ring
    }

    /// Whether there is room for one more request: for its event, that is.
    ///
    /// # Errors
    ///
    /// EAGAIN if there is none, EINVAL if the context was destroyed.
    pub(crate) fn has_room(&self) -> Result<(), Errno> {
        self.room(&lock(&self.state))
    }

    fn room(&self, state: &State<D::Request>) -> Result<(), Errno> {
        if state.destroyed {
            return Err(Errno::EINVAL);
        }
        // Each entry that isn't free will post an event.
        match state.free.len() > self.ring.len() as usize {
            true => Ok(()),
            false => Err(Errno::EAGAIN),
        }
    }

    /// Takes a request. Returns its entry, and how often that was used before.
    ///
    /// # Errors
    ///
    /// As [`has_room`](Self::has_room).
    pub(crate) fn accept(&self, request: D::Request) -> Result<(u32, u32), Errno> {
        let mut state = lock(&self.state);
        self.room(&state)?;
        let index = state.free.pop().ok_or(Errno::EAGAIN)?;
        let entry = &mut state.requests[index as usize];
        entry.stage = Stage::Waiting(request);
        Ok((index, entry.uses))
    }

    /// Waits for `min` events, and takes as many as there is room for.
    ///
    /// # Errors
    ///
    /// EINVAL if the context is destroyed meanwhile.
    ///
    /// # Safety
    ///
    /// Nobody else takes events meanwhile.
    pub(crate) unsafe fn take(
        &self,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        self.wait_for(min.min(events.len()), timeout)?;
        let mut taken = 0;
        for place in events {
            // SAFETY: nobody else takes events meanwhile, which the caller promises.
            let Some(event) = (unsafe { self.ring.pop() }) else {
                break;
            };
            place.write(event);
            taken += 1;
        }
        Ok(taken)
    }

    fn wait_for(&self, min: usize, timeout: Option<Duration>) -> Result<(), Errno> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.state);
        loop {
            if state.destroyed {
                return Err(Errno::EINVAL);
            }
            if self.ring.len() as usize >= min {
                return Ok(());
            }
            state.wanted = min;
            state = match deadline {
                None => wait(&self.changed, state),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.wanted = 0;
                        return Ok(());
                    }
                    wait_timeout(&self.changed, state, left)
                }
            };
            state.wanted = 0;
        }
    }

    /// Ends a request that is in no stage where others find it: posts its event, and frees its
    /// entry.
    pub(crate) fn end(&self, index: u32, request: D::Request, res: i64) {
        let event = IoEvent {
            data: request.data(),
            obj: request.obj(),
            res,
            res2: 0,
        };
        let eventfd = request.eventfd();
        // Its descriptor is closed before anybody sees the event.
        drop(request);
        let mut state = lock(&self.state);
        let entry = &mut state.requests[index as usize];
        entry.uses = entry.uses.wrapping_add(1);
        entry.stage = Stage::Free;
        state.free.push(index);
        // SAFETY: there is room: `accept` has made sure that entries in use and events together
        // aren't more than the ring has room for.
        unsafe { self.post(state, event, eventfd) };
    }

    /// Posts the event of a request that never had an entry.
    ///
    /// # Errors
    ///
    /// As [`has_room`](Self::has_room).
    pub(crate) fn post_at_once(&self, event: IoEvent, eventfd: Option<RawFd>) -> Result<(), Errno> {
        let state = lock(&self.state);
        self.room(&state)?;
        // SAFETY: `room` has found room.
        unsafe { self.post(state, event, eventfd) };
        Ok(())
    }

    /// Posts an event, and tells whoever wants to know.
    ///
    /// # Safety
    ///
    /// There is room for it.
    unsafe fn post(
        &self,
        mut state: MutexGuard<'_, State<D::Request>>,
        event: IoEvent,
        eventfd: Option<RawFd>,
    ) {
        // SAFETY: the lock keeps other threads from posting. There is room, which the caller says.
        unsafe { self.ring.push(event) };
        let enough = state.wanted > 0 && self.ring.len() as usize >= state.wanted;
        if enough || state.destroyed {
            self.changed.notify_all();
        }
        if eventfd.is_none() && self.outside.is_none() {
            return;
        }
        state.tells += 1;
        drop(state);
        // After the event, as the real kernel does it. The eventfd is open as long as the context
        // isn't destroyed, which waits for this.
        if let Some(eventfd) = eventfd {
            self.pool.device.signal(eventfd);
        }
        if let Some(outside) = &self.outside {
            outside.event_posted();
        }
        let mut state = lock(&self.state);
        state.tells -= 1;
        if state.destroyed {
            self.changed.notify_all();
        }
    }

    /// Cancels the request of the iocb at this address.
    ///
    /// # Errors
    ///
    /// EINVAL if there is none, or if a worker carries it out.
    pub(crate) fn cancel(self: &Arc<Self>, iocb: *mut Iocb) -> Result<(), Errno> {
        let obj = iocb.addr() as u64;
        let state = lock(&self.state);
        if state.destroyed {
            return Err(Errno::EINVAL);
        }
        let waits = |entry: &Entry<D::Request>| match &entry.stage {
            Stage::Waiting(request) | Stage::Polled(request, _) => request.obj() == obj,
            Stage::Free | Stage::Running => false,
        };
        let index = state.requests.iter().position(waits).ok_or(Errno::EINVAL)?;
        self.cancel_waiting(state, index);
        Ok(())
    }

    /// Cancels a request that waits. Its event comes as usual.
    fn cancel_waiting(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<D::Request>>,
        index: usize,
    ) {
        match mem::replace(&mut state.requests[index].stage, Stage::Running) {
            Stage::Waiting(request) => {
                let uses = state.requests[index].uses;
                drop(state);
                // Its job may be on its way to a worker. Then the worker finds out.
                self.pool
                    .forget(&request, |job| job.is_of(self, (index as u32, uses)));
                let res = request.cancelled();
                self.end(index as u32, request, res);
            }
            Stage::Polled(request, token) => {
                drop(state);
                // Before the descriptor is closed, which the poller has. If the file became ready
                // meanwhile, the poller has the job no more.
                let job = self.pool.device.forget(token);
                let res = request.cancelled();
                self.end(index as u32, request, res);
                if let Some(job) = job {
                    job.give_place_up();
                }
            }
            stage @ (Stage::Free | Stage::Running) => state.requests[index].stage = stage,
        }
    }

    /// Cancels all requests that may wait for ever, now and in future.
    pub(crate) fn cancel_endless(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.closing = true;
        let count = state.requests.len();
        drop(state);
        for index in 0..count {
            let state = lock(&self.state);
            let endless = match &state.requests[index].stage {
                Stage::Waiting(request) | Stage::Polled(request, _) => request.may_wait_for_ever(),
                Stage::Free | Stage::Running => false,
            };
            if endless {
                self.cancel_waiting(state, index);
            }
        }
    }

    /// Destroys the context. Waits until nothing is in flight.
    ///
    /// # Errors
    ///
    /// EINVAL if it was destroyed before.
    pub(crate) fn destroy(self: &Arc<Self>) -> Result<(), Errno> {
        {
            let mut state = lock(&self.state);
            if mem::replace(&mut state.destroyed, true) {
                return Err(Errno::EINVAL);
            }
        }
        self.changed.notify_all();
        self.cancel_endless();
        let mut state = lock(&self.state);
        while state.free.len() < state.requests.len() || state.tells > 0 {
            state = wait(&self.changed, state);
        }
        Ok(())
    }

    /// Takes a request out, for a worker. `None` if it was cancelled.
    pub(crate) fn start(&self, (index, uses): (u32, u32)) -> Option<D::Request> {
        let mut state = lock(&self.state);
        let entry = &mut state.requests[index as usize];
        if entry.uses != uses {
            return None;
        }
        match mem::replace(&mut entry.stage, Stage::Running) {
            Stage::Waiting(request) | Stage::Polled(request, _) => Some(request),
            stage @ (Stage::Free | Stage::Running) => {
                entry.stage = stage;
                None
            }
        }
    }

    /// Has a request that was [started](Self::start) wait until its file is ready.
    ///
    /// # Errors
    ///
    /// The request is over, with this `res`. Here is the job.
    pub(crate) fn wait_until_ready(
        &self,
        index: u32,
        request: D::Request,
        job: Job<D>,
    ) -> Result<(), (Job<D>, D::Request, i64)> {
        let mut state = lock(&self.state);
        if state.closing {
            let res = request.cancelled();
            return Err((job, request, res));
        }
        // The context stays locked, so that nobody ends the request meanwhile, and so that the job
        // finds it as soon as it is told.
        match self.pool.device.wait(&request, job) {
            Ok(token) => {
                state.requests[index as usize].stage = Stage::Polled(request, token);
                Ok(())
            }
            Err((job, res)) => Err((job, request, res)),
        }
    }

    /// Whether a request waits until its file is ready, and that is all it does.
    pub(crate) fn is_poll(&self, (index, uses): (u32, u32)) -> bool {
        let state = lock(&self.state);
        let entry = &state.requests[index as usize];
        entry.uses == uses && matches!(&entry.stage, Stage::Polled(request, _) if request.is_poll())
    }
}

#[cfg(loom)]
impl<D: Device> Context<D> {
    /// This holder doesn't use the context any more.
    pub(super) fn let_go(&self) {
        self.let_go
            .fetch_add(1, crate::sync::atomic::Ordering::AcqRel);
    }
}

#[cfg(loom)]
impl<D: Device> Drop for Context<D> {
    fn drop(&mut self) {
        self.let_go();
    }
}
