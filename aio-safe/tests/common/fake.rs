//! A kernel that does what a test tells it to.
//!
//! Requests stay in flight until the test completes them (or at once, with [`Fake::prompt`]). While
//! one is in flight the fake touches its buffer, as a device would: freeing it too early is a
//! use after free that the address sanitizer sees, and that the drop counters of the buffers show.
//!
//! Files are not looked at. A read's bytes are all [`Fake::BYTE`].

use std::{
    collections::VecDeque,
    mem::MaybeUninit,
    sync::{Arc, Condvar, Mutex, MutexGuard, Weak},
    time::{Duration, Instant},
};

use aio_abi::{AioContext, IoEvent, Iocb, Iovec, Opcode};
use aio_safe::{Errno, kernel::Kernel};

use super::device::as_device;

/// A fake kernel. Clones are the same kernel: one goes into the queue, the test keeps another.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    in_flight: Vec<Request>,
    events: VecDeque<IoEvent>,
    /// What `io_submit` says to each iocb.
    verdict: Box<dyn FnMut(&Iocb) -> Verdict + Send>,
    /// Answers of `io_getevents` that come before any event.
    interruptions: VecDeque<Errno>,
    /// `io_getevents` fails for good.
    broken: Option<Errno>,
    destroy_fails: Option<Errno>,
    setup_fails: Option<Errno>,
    cancel_fails: Option<Errno>,
    destroyed: bool,
    prompt: bool,
    blocked: usize,
    submits: usize,
    waits: usize,
}

/// A request in flight. Its buffer may be touched until its event is given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) iocb: Iocb,
    pub(crate) obj: u64,
}

/// What `io_submit` says to an iocb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Refuse(Errno),
    /// Take no more in this call, if it has taken one.
    Pause,
}

impl Request {
    /// Touches the buffer as a device does: writes what a read asked for, looks at what is written.
    pub(crate) fn touch(&self) {
        let reads = matches!(self.iocb.aio_lio_opcode, Opcode::PREAD | Opcode::PREADV);
        self.each_part(|start, len| {
            as_device(start, len, || {
                if reads {
                    // SAFETY: the request is in flight, so the queue keeps its buffer where it is,
                    // and untouched. It was told to be writable in this length.
                    unsafe { start.write_bytes(Fake::BYTE, len) }
                } else {
                    for n in 0..len {
                        // SAFETY: the request is in flight, so the queue keeps its buffer where it
                        // is. It was told to be readable in this length.
                        std::hint::black_box(unsafe { start.wrapping_add(n).read_volatile() });
                    }
                }
            });
        });
    }

    /// Shows the parts of memory that the request is about. Allocates nothing: allocations are
    /// counted.
    fn each_part(&self, mut show: impl FnMut(*mut u8, usize)) {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.iocb.aio_buf as usize);
        let len = self.iocb.aio_nbytes as usize;
        match self.iocb.aio_lio_opcode {
            Opcode::PREAD | Opcode::PWRITE => show(start, len),
            Opcode::PREADV | Opcode::PWRITEV => {
                // SAFETY: the request is in flight, so the queue keeps the iovecs that it points
                // to.
                let iovecs = unsafe { std::slice::from_raw_parts(start.cast::<Iovec>(), len) };
                for iovec in iovecs {
                    show(iovec.iov_base.cast(), iovec.iov_len);
                }
            }
            _ => {}
        }
    }

    fn usual_result(&self) -> i64 {
        let mut bytes = 0;
        self.each_part(|_, len| bytes += len as i64);
        bytes
    }

    pub(crate) fn event(&self, res: i64) -> IoEvent {
        IoEvent {
            data: self.iocb.aio_data,
            obj: self.obj,
            res,
            res2: 0,
        }
    }
}

impl Fake {
    /// What reads read.
    pub(crate) const BYTE: u8 = 0x5a;

    pub(crate) fn new() -> Self {
        let state = State {
            in_flight: Vec::new(),
            events: VecDeque::new(),
            verdict: Box::new(|_| Verdict::Accept),
            interruptions: VecDeque::new(),
            broken: None,
            destroy_fails: None,
            setup_fails: None,
            cancel_fails: None,
            destroyed: false,
            prompt: false,
            blocked: 0,
            submits: 0,
            waits: 0,
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// Tells whether the kernel is still there, which the queue owns a part of.
    pub(crate) fn watch(&self) -> Weak<impl Sized + use<>> {
        Arc::downgrade(&self.0)
    }

    /// A fake that completes each request when it is submitted.
    pub(crate) fn prompt() -> Self {
        let fake = Self::new();
        fake.lock().prompt = true;
        fake
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn changed(&self) {
        self.0.changed.notify_all();
    }

    /// Decides from now on what `io_submit` says to each iocb.
    pub(crate) fn on_submit(&self, verdict: impl FnMut(&Iocb) -> Verdict + Send + 'static) {
        self.lock().verdict = Box::new(verdict);
    }

    pub(crate) fn set_prompt(&self, prompt: bool) {
        self.lock().prompt = prompt;
    }

    /// Lets waits in `io_getevents` end with this once.
    pub(crate) fn interrupt(&self, errno: Errno) {
        self.lock().interruptions.push_back(errno);
        self.changed();
    }

    /// Lets `io_getevents` fail for good.
    pub(crate) fn break_down(&self, errno: Errno) {
        self.lock().broken = Some(errno);
        self.changed();
    }

    /// Lets `io_destroy` fail.
    pub(crate) fn keep(&self, errno: Errno) {
        self.lock().destroy_fails = Some(errno);
    }

    /// Lets `io_setup` fail.
    pub(crate) fn refuse_setup(&self, errno: Errno) {
        self.lock().setup_fails = Some(errno);
    }

    /// Lets `io_cancel` fail.
    pub(crate) fn forbid_cancel(&self, errno: Errno) {
        self.lock().cancel_fails = Some(errno);
    }

    /// What is in flight, in the order of submission.
    pub(crate) fn in_flight(&self) -> Vec<Request> {
        self.lock().in_flight.clone()
    }

    /// Completes the request at this place among those in flight, as a transfer of everything.
    pub(crate) fn complete(&self, place: usize) {
        self.complete_as(place, None);
    }

    /// Completes a request with this result.
    pub(crate) fn complete_with(&self, place: usize, res: i64) {
        self.complete_as(place, Some(res));
    }

    fn complete_as(&self, place: usize, res: Option<i64>) {
        let event = self.carry_out(place, res);
        self.post(event);
    }

    /// Carries out a request, and returns its event, which is for the caller to post.
    pub(crate) fn carry_out(&self, place: usize, res: Option<i64>) -> IoEvent {
        let mut state = self.lock();
        let request = state.in_flight.remove(place);
        request.touch();
        request.event(res.unwrap_or_else(|| request.usual_result()))
    }

    pub(crate) fn complete_all(&self) {
        while !self.lock().in_flight.is_empty() {
            self.complete(0);
        }
    }

    /// Touches the buffers of everything in flight.
    pub(crate) fn touch_all(&self) {
        let state = self.lock();
        state.in_flight.iter().for_each(Request::touch);
    }

    /// Puts any event in the ring.
    pub(crate) fn post(&self, event: IoEvent) {
        self.lock().events.push_back(event);
        self.changed();
    }

    /// Waits until so many threads wait in `io_getevents`.
    pub(crate) fn until_blocked(&self, threads: usize) {
        self.until(|state| state.blocked == threads);
    }

    /// Waits until so many requests are in flight.
    pub(crate) fn until_in_flight(&self, requests: usize) {
        self.until(|state| state.in_flight.len() == requests);
    }

    fn until(&self, reached: impl Fn(&State) -> bool) {
        let (state, timed_out) = self
            .0
            .changed
            .wait_timeout_while(self.lock(), Duration::from_secs(20), |state| {
                !reached(state)
            })
            .unwrap();
        drop(state);
        assert!(!timed_out.timed_out(), "the queue never got there");
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.lock().destroyed
    }

    /// How often `io_submit` was called.
    pub(crate) fn submits(&self) -> usize {
        self.lock().submits
    }

    /// How often `io_getevents` was called.
    pub(crate) fn waits(&self) -> usize {
        self.lock().waits
    }
}

// SAFETY: a request's buffer is touched only while it is in `in_flight`, which it leaves before its
// event can be given out, and under the mutex. Results are as large as the request (tests that post
// events of their own see to that). The mutex orders submission before the event. A destroyed
// context has nothing in flight. Iocbs are copied.
unsafe impl Kernel for Fake {
    fn io_setup(&self, _nr_events: u32) -> Result<AioContext, Errno> {
        if let Some(errno) = self.lock().setup_fails {
            return Err(errno);
        }
        Ok(AioContext::from_addr(0x1000))
    }

    unsafe fn io_submit(&self, _ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let mut state = self.lock();
        state.submits += 1;
        if state.destroyed {
            return Err(Errno::EINVAL);
        }
        let mut taken = 0;
        for &pointer in iocbs {
            // SAFETY: the caller promises that it points to an iocb.
            let iocb = unsafe { pointer.read() };
            match (state.verdict)(&iocb) {
                Verdict::Refuse(errno) if taken == 0 => return Err(errno),
                Verdict::Refuse(_) => break,
                Verdict::Pause if taken > 0 => break,
                Verdict::Pause | Verdict::Accept => {}
            }
            let obj = pointer.expose_provenance() as u64;
            let request = Request { iocb, obj };
            request.touch();
            // The queue's own, which ends a wait: it is over at once, as on Linux.
            let is_kick = iocb.aio_data == u64::MAX;
            if state.prompt || is_kick {
                let event = request.event(request.usual_result());
                state.events.push_back(event);
            } else {
                state.in_flight.push(request);
            }
            taken += 1;
        }
        drop(state);
        self.changed();
        Ok(taken)
    }

    unsafe fn io_getevents(
        &self,
        _ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        state.waits += 1;
        loop {
            if let Some(errno) = state.broken {
                return Err(errno);
            }
            if min > 0 {
                if let Some(errno) = state.interruptions.pop_front() {
                    return Err(errno);
                }
            }
            if state.destroyed {
                return Err(Errno::EINVAL);
            }
            if state.events.len() >= min {
                break;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            state.blocked += 1;
            self.changed();
            state = match left {
                None => self.0.changed.wait(state).unwrap(),
                Some(left) => self.0.changed.wait_timeout(state, left).unwrap().0,
            };
            state.blocked -= 1;
        }
        let n = events.len().min(state.events.len());
        for (place, event) in events.iter_mut().zip(state.events.drain(..n)) {
            place.write(event);
        }
        drop(state);
        self.changed();
        Ok(n)
    }

    unsafe fn io_cancel(&self, _ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let obj = iocb.expose_provenance() as u64;
        let mut state = self.lock();
        if let Some(errno) = state.cancel_fails {
            return Err(errno);
        }
        let place = state
            .in_flight
            .iter()
            .position(|request| request.obj == obj && request.iocb.aio_lio_opcode == Opcode::POLL);
        let request = state.in_flight.remove(place.ok_or(Errno::EINVAL)?);
        state.events.push_back(request.event(0));
        drop(state);
        self.changed();
        Err(Errno::EINPROGRESS)
    }

    unsafe fn io_destroy(&self, _ctx: AioContext) -> Result<(), Errno> {
        let mut state = self.lock();
        if let Some(errno) = state.destroy_fails {
            return Err(errno);
        }
        if state.destroyed {
            return Err(Errno::EINVAL);
        }
        // What is in flight is carried out first, and its events are lost.
        state
            .in_flight
            .drain(..)
            .for_each(|request| request.touch());
        state.events.clear();
        state.destroyed = true;
        drop(state);
        self.changed();
        Ok(())
    }
}
