//! The kernel of the models.
//!
//! It promises no more than the real one does. Its calls take effect one after the other. They
//! order no memory between threads, except what [`Kernel`] promises: what a thread did before it
//! submitted a request happens before that request's event is given out. So the state is behind a
//! lock that loom doesn't see, and that no thread holds while loom may switch to another one. Each
//! call first goes through a turnstile, a relaxed atomic, so that loom tries every order of the
//! calls.
//!
//! Reads and writes are over as soon as they are submitted, and their events come in the order of
//! submission or in the opposite one. Polls are over when they are fired or cancelled. The device
//! touches a buffer when the event is given out, which is as late as it may.

use std::{
    mem::MaybeUninit,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize as Counter},
    },
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, IocbFlags, Opcode};
use aio_sys::Errno;
use loom::{
    sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread::{self, Thread},
};

use crate::{
    Queue,
    buf::{IoBuf, IoBufMut},
    engine::driver::Mode,
    kernel::{Eventfd, Kernel, Ring},
    queue::{CompletionPool, Driver},
    sync::UnsafeCell,
};

use super::ring::RingMemory;

/// Operations at this offset are refused.
pub(super) const REFUSED: u64 = 1 << 40;
/// The kernel has no room for operations at this offset.
pub(super) const NO_ROOM: u64 = 1 << 41;
/// What the kernel says of operations at [`REFUSED`].
pub(super) const REASON: Errno = Errno::EBADF;

/// How many requests a model can submit.
const REQUESTS: usize = 6;

/// A model's reference to its kernel.
#[derive(Clone)]
pub(super) struct Machine(Arc<Inner>, Arc<Eventfd>);

/// The queue's reference to it.
struct ModelKernel {
    /// There until it is dropped.
    inner: Option<Arc<Inner>>,
    /// What it signals after each event, if there is something.
    eventfd: Option<Arc<Eventfd>>,
    /// What it signals when the queue is freed.
    over: Arc<Eventfd>,
}

impl Deref for ModelKernel {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        self.inner.as_ref().expect("it isn't dropped")
    }
}

struct Inner {
    turnstile: AtomicUsize,
    /// One for each request: it orders what the submitter did before the event.
    handed: [AtomicUsize; REQUESTS],
    submitted: Counter,
    ring: Option<RingMemory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    waiters: Vec<Thread>,
    /// The `aio_data` of everything that was submitted.
    history: Vec<u64>,
    last_first: bool,
    one_by_one: bool,
    broken: bool,
    indestructible: bool,
    uncancellable: bool,
    destroyed: bool,
    freed: bool,
    buffers: Vec<Arc<Memory>>,
    /// Events in the ring.
    posted: usize,
}

struct Request {
    iocb: usize,
    data: u64,
    number: Option<usize>,
    ready: bool,
    /// The buffer, and what is read into it or must be written from it.
    buffer: Option<(Arc<Memory>, Opcode)>,
    value: u8,
    res: i64,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// A kernel whose completion ring can be read, with that many entries.
    pub(super) fn with_ring(nr: u32) -> Self {
        Self::with(Some(RingMemory::new(nr)))
    }

    fn with(ring: Option<RingMemory>) -> Self {
        let inner = Arc::new(Inner {
            turnstile: AtomicUsize::new(0),
            handed: std::array::from_fn(|_| AtomicUsize::new(0)),
            submitted: Counter::new(0),
            ring,
            state: Mutex::default(),
        });
        Self(inner, Arc::new(Eventfd::new().unwrap()))
    }

    /// Gives out the events of later requests first.
    pub(super) fn last_first(self) -> Self {
        self.state().last_first = true;
        self
    }

    /// Gives out no more events at a time than it must.
    pub(super) fn one_by_one(self) -> Self {
        self.state().one_by_one = true;
        self
    }

    /// Can't destroy contexts.
    pub(super) fn indestructible(self) -> Self {
        self.state().indestructible = true;
        self
    }

    /// Forbids `io_cancel`, as a filter on system calls does.
    pub(super) fn uncancellable(self) -> Self {
        self.state().uncancellable = true;
        self
    }

    pub(super) fn queue(&self, depth: u32) -> Queue {
        self.driven(depth, Driver::Caller)
    }

    /// A queue with this driver.
    pub(super) fn driven(&self, depth: u32, driver: Driver) -> Queue {
        let kernel = self.kernel(None);
        let builder = Queue::builder(depth).driver(driver);
        builder.build_on(kernel).unwrap()
    }

    /// A completion pool.
    pub(super) fn pool(&self, threads: usize, depth: u32) -> CompletionPool {
        let builder = Queue::builder(depth);
        builder
            .completion_pool_on(threads, self.kernel(None))
            .unwrap()
    }

    fn kernel(&self, eventfd: Option<Arc<Eventfd>>) -> ModelKernel {
        ModelKernel {
            inner: Some(Arc::clone(&self.0)),
            eventfd,
            over: Arc::clone(&self.1),
        }
    }

    /// A queue with an eventfd.
    pub(super) fn signalling(&self, depth: u32, mode: Mode, eventfd: &Arc<Eventfd>) -> Queue {
        let kernel = self.kernel(Some(Arc::clone(eventfd)));
        let builder = Queue::builder(depth);
        let eventfd = Some(Arc::clone(eventfd));
        builder.make(kernel, mode, eventfd).unwrap()
    }

    pub(super) fn buffer(&self) -> Buffer {
        let memory = Arc::new(Memory {
            byte: UnsafeCell::new(0),
            freed: AtomicBool::new(false),
        });
        self.state().buffers.push(Arc::clone(&memory));
        Buffer(memory)
    }

    /// A buffer that holds a byte, to be written.
    pub(super) fn filled(&self, value: u8) -> Buffer {
        let buffer = self.buffer();
        buffer.0.byte.with_mut(|byte| {
            // SAFETY: the buffer was made in this function.
            unsafe { *byte = value }
        });
        buffer
    }

    /// A file becomes ready: polls are over.
    pub(super) fn fire(&self) {
        self.0.pass();
        let mut state = self.state();
        for request in &mut state.requests {
            if !request.ready {
                request.ready = true;
                request.res = 1;
            }
        }
        if let Some(ring) = &self.0.ring {
            while state.requests.iter().any(|request| request.ready) {
                let request = state.take_ready();
                drop(state);
                ring.post(self.0.carry_out(request));
                state = self.state();
                state.posted += 1;
            }
        }
        wake(state);
    }

    /// Posts an event once more that was there before: `n` counts the requests from the first.
    pub(super) fn repeat_event(&self, n: usize) {
        self.0.pass();
        let mut state = self.state();
        let data = state.history[n];
        state.requests.push(Request {
            iocb: 0,
            data,
            number: None,
            ready: true,
            buffer: None,
            value: 0,
            res: 77,
        });
        wake(state);
    }

    /// From now on `io_getevents` fails, as after an `io_destroy` that the queue doesn't know of.
    pub(super) fn break_down(&self) {
        self.0.pass();
        let mut state = self.state();
        state.broken = true;
        wake(state);
    }

    /// Waits until the queue is freed, which a driver may do in its own thread.
    pub(super) fn wait_until_freed(&self) {
        self.1.wait();
    }

    /// Checks that everything is over: buffers dropped, context destroyed, queue freed.
    pub(super) fn assert_over(&self) {
        let state = self.state();
        assert!(state.freed, "the queue was not freed");
        assert!(
            state.destroyed || state.indestructible,
            "the context was not destroyed"
        );
        assert!(
            state.buffers.iter().all(|buffer| buffer.is_freed()),
            "a buffer was leaked"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Inner {
    /// Waits for this call's turn.
    fn pass(&self) {
        self.turnstile.fetch_add(1, Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What the device does for a request, and its event.
    fn carry_out(&self, request: Request) -> IoEvent {
        if let Some(number) = request.number {
            let handed = self.handed[number].fetch_add(0, Acquire);
            assert_eq!(handed, 1, "was submitted once");
        }
        if let Some((memory, opcode)) = request.buffer {
            assert!(!memory.is_freed(), "the device uses a freed buffer");
            if opcode == Opcode::PREAD {
                memory.byte.with_mut(|byte| {
                    // SAFETY: loom sees to it that nobody else uses the byte.
                    unsafe { *byte = request.value }
                });
            } else {
                let value = memory.byte.with(|byte| {
                    // SAFETY: loom sees to it that nobody writes to the byte meanwhile.
                    unsafe { *byte }
                });
                assert_eq!(value, request.value, "wrote something else");
            }
        }
        IoEvent {
            data: request.data,
            obj: request.iocb as u64,
            res: request.res,
            res2: 0,
        }
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waiters = std::mem::take(&mut state.waiters);
    drop(state);
    for thread in waiters {
        thread.unpark();
    }
}

impl Drop for ModelKernel {
    fn drop(&mut self) {
        self.state().freed = true;
        self.inner = None;
        self.over.signal();
    }
}

// SAFETY: the kernel uses buffers by looking them up among those that live, not through pointers,
// and the handing over of each request gives what the seam promises.
unsafe impl Kernel for ModelKernel {
    fn io_setup(&self, _nr_events: u32) -> Result<AioContext, Errno> {
        Ok(AioContext::from_addr(0x1000))
    }

    unsafe fn ring(&self, _ctx: AioContext) -> Option<Ring> {
        // SAFETY: the memory lives as long as this kernel, and the queue drops its kernel last.
        self.ring.as_ref().map(|memory| unsafe { memory.ring() })
    }

    unsafe fn io_submit(&self, _ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let mut accepted = 0;
        for &iocb in iocbs {
            // SAFETY: the caller says that nobody else uses it.
            let copy = unsafe { iocb.read() };
            let offset = copy.aio_offset as u64;
            let refused = match offset {
                REFUSED => Some(REASON),
                NO_ROOM => Some(Errno::EAGAIN),
                _ => None,
            };
            if let Some(errno) = refused {
                self.pass();
                if accepted == 0 {
                    return Err(errno);
                }
                break;
            }
            let number = self.submitted.fetch_add(1, Relaxed);
            self.handed[number].store(1, Release);
            let is_poll = copy.aio_lio_opcode == Opcode::POLL;
            let mut request = Request {
                iocb: iocb.addr(),
                data: copy.aio_data,
                number: Some(number),
                ready: !is_poll,
                buffer: None,
                value: offset as u8,
                res: if is_poll { 0 } else { copy.aio_nbytes as i64 },
            };
            if copy.aio_nbytes > 0 {
                let state = self.state();
                let memory = state
                    .buffers
                    .iter()
                    .find(|memory| memory.address() == copy.aio_buf);
                let memory = memory.expect("the buffer is one of the model's");
                assert!(!memory.is_freed());
                request.buffer = Some((Arc::clone(memory), copy.aio_lio_opcode));
            }
            if let (Some(ring), true) = (&self.ring, request.ready) {
                // As buffered files do it: everything happens within io_submit.
                let (iocb, data, res) = (request.iocb, request.data, request.res);
                let event = self.carry_out(request);
                assert_eq!((event.data, event.obj, event.res), (data, iocb as u64, res));
                ring.post(event);
                self.pass();
                let mut state = self.state();
                assert!(!state.destroyed, "io_submit after io_destroy");
                state.history.push(data);
                state.posted += 1;
                wake(state);
            } else {
                self.pass();
                let mut state = self.state();
                assert!(!state.destroyed, "io_submit after io_destroy");
                state.history.push(request.data);
                state.requests.push(request);
                wake(state);
            }
            if let Some(eventfd) = self.eventfd.as_ref().filter(|_| !is_poll) {
                assert!(copy.aio_flags.contains(IocbFlags::RESFD));
                eventfd.signal();
            }
            accepted += 1;
        }
        Ok(accepted)
    }

    unsafe fn io_getevents(
        &self,
        _ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // A wait with a timeout lets the others go on, and then its time is over.
        let mut min = min;
        loop {
            // There is one reader, so it stays there.
            let head = self.ring.as_ref().map_or(0, RingMemory::head);
            self.pass();
            let mut state = self.state();
            assert!(!state.destroyed, "io_getevents after io_destroy");
            if state.broken {
                return Err(Errno::EINVAL);
            }
            if let Some(ring) = &self.ring {
                if ring.len(head, state.posted) >= min {
                    drop(state);
                    return Ok(ring.take(events));
                }
            } else {
                let ready = state.requests.iter().filter(|request| request.ready);
                let there = ready.count().min(events.len());
                if there >= min {
                    let n = if state.one_by_one {
                        there.min(min.max(1))
                    } else {
                        there
                    };
                    let taken: Vec<Request> = (0..n).map(|_| state.take_ready()).collect();
                    drop(state);
                    for (place, request) in events.iter_mut().zip(taken) {
                        place.write(self.carry_out(request));
                    }
                    return Ok(n);
                }
            }
            if timeout.is_some() {
                drop(state);
                thread::yield_now();
                min = 0;
                continue;
            }
            state.waiters.push(thread::current());
            drop(state);
            thread::park();
        }
    }

    unsafe fn io_cancel(&self, _ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        self.pass();
        let mut state = self.state();
        assert!(!state.destroyed, "io_cancel after io_destroy");
        if state.uncancellable {
            return Err(Errno::EPERM);
        }
        let found = state
            .requests
            .iter_mut()
            .find(|request| request.iocb == iocb.addr() && !request.ready);
        let Some(request) = found else {
            return Err(Errno::EINVAL);
        };
        request.ready = true;
        wake(state);
        Err(Errno::EINPROGRESS)
    }

    unsafe fn io_destroy(&self, _ctx: AioContext) -> Result<(), Errno> {
        self.pass();
        let mut state = self.state();
        assert!(!state.destroyed, "io_destroy twice");
        assert!(
            state.waiters.is_empty(),
            "io_destroy while a thread is in io_getevents"
        );
        if state.indestructible {
            return Err(Errno::EINVAL);
        }
        state.destroyed = true;
        let rest = std::mem::take(&mut state.requests);
        drop(state);
        for request in rest {
            self.carry_out(request);
        }
        Ok(())
    }
}

impl State {
    fn take_ready(&mut self) -> Request {
        let mut ready = (0..self.requests.len()).filter(|&n| self.requests[n].ready);
        let n = if self.last_first {
            ready.next_back()
        } else {
            ready.next()
        };
        self.requests.remove(n.expect("counted before"))
    }
}

/// A buffer of one byte, that loom watches.
pub(super) struct Buffer(Arc<Memory>);

struct Memory {
    byte: UnsafeCell<u8>,
    freed: AtomicBool,
}

// SAFETY: loom checks every use of the byte, and fails the model on a race.
unsafe impl Send for Memory {}
// SAFETY: `&` gives the byte only through loom's cell, which checks every use.
unsafe impl Sync for Memory {}

impl Memory {
    fn address(self: &Arc<Self>) -> u64 {
        Arc::as_ptr(self).addr() as u64
    }

    fn is_freed(&self) -> bool {
        self.freed.load(Relaxed)
    }
}

impl Buffer {
    pub(super) fn byte(&self) -> u8 {
        self.0.byte.with(|byte| {
            // SAFETY: loom sees to it that nobody writes to the byte.
            unsafe { *byte }
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Freeing it is a write.
        self.0.byte.with_mut(|_| ());
        let twice = self.0.freed.swap(true, Relaxed);
        assert!(!twice, "a buffer was dropped twice");
    }
}

// SAFETY: the address is that of a byte on the heap. Only the model's kernel gets it, and finds the
// buffer by comparing it.
unsafe impl IoBuf for Buffer {
    fn io_ptr(&self) -> *const u8 {
        Arc::as_ptr(&self.0).cast()
    }

    fn io_len(&self) -> usize {
        1
    }
}

// SAFETY: the byte is at the same address as for `IoBuf`, and this buffer is its only owner.
unsafe impl IoBufMut for Buffer {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        Arc::as_ptr(&self.0).cast_mut().cast()
    }

    fn io_capacity(&self) -> usize {
        1
    }

    unsafe fn set_init(&mut self, len: usize) {
        assert!(len <= 1);
    }
}
