//! A kernel that completes everything at once: what is left is what the queue itself costs.

#![allow(
    unsafe_code,
    reason = "implements the kernel's side, in memory that the queue reads"
)]

use std::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr,
    sync::{
        OnceLock,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, RING_COMPAT_FEATURES, RING_MAGIC, RingHeader};
use aio_safe::{
    Errno,
    kernel::{Kernel, Ring},
};

/// Every request is over, with all its bytes, when `io_submit` returns. No byte is touched.
///
/// For queues that one thread alone uses: nothing keeps two calls of `io_submit` apart.
pub(crate) struct Prompt {
    /// Whether the ring may be read without a call.
    readable: bool,
    ring: OnceLock<Memory>,
}

/// The ring: its header, which is as long as an event, and the events.
struct Memory(Box<[UnsafeCell<IoEvent>]>);

// SAFETY: events are written by `io_submit` alone, which one thread at a time calls, and read by
// whoever may read the ring; head and tail are only used as atomics, once the header is there.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

impl Prompt {
    /// As on Linux: events are read from the ring.
    pub(crate) const fn new() -> Self {
        Self {
            readable: true,
            ring: OnceLock::new(),
        }
    }

    /// Events are taken with `io_getevents`, without entering any kernel.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) const fn by_call() -> Self {
        Self {
            readable: false,
            ring: OnceLock::new(),
        }
    }

    fn memory(&self) -> &Memory {
        self.ring.get().expect("the queue calls io_setup first")
    }
}

impl Memory {
    fn new(places: u32) -> Self {
        let empty = || UnsafeCell::new(IoEvent::default());
        let memory = Self((0..=places).map(|_| empty()).collect());
        let header = RingHeader {
            nr: places,
            magic: RING_MAGIC,
            compat_features: RING_COMPAT_FEATURES,
            header_length: size_of::<IoEvent>() as u32,
            ..RingHeader::default()
        };
        // SAFETY: the first element is as long as a header and aligned to more, and nobody else
        // knows it yet.
        unsafe { memory.header().write(header) };
        memory
    }

    fn header(&self) -> *mut RingHeader {
        self.0.as_ptr().cast_mut().cast()
    }

    fn places(&self) -> u32 {
        self.0.len() as u32 - 1
    }

    fn head(&self) -> &AtomicU32 {
        // SAFETY: within the header, which lives as long as `self`.
        let head = unsafe { &raw mut (*self.header()).head };
        // SAFETY: aligned, and used as an atomic everywhere.
        unsafe { AtomicU32::from_ptr(head) }
    }

    fn tail(&self) -> &AtomicU32 {
        // SAFETY: within the header, which lives as long as `self`.
        let tail = unsafe { &raw mut (*self.header()).tail };
        // SAFETY: aligned, and used as an atomic everywhere.
        unsafe { AtomicU32::from_ptr(tail) }
    }

    fn after(&self, place: u32) -> u32 {
        if place + 1 == self.places() {
            0
        } else {
            place + 1
        }
    }
}

// SAFETY: a request's event is in the ring when `io_submit` returns, and nothing of it is used
// afterwards; the result is what it asked for. `io_setup` alone can panic, before there is any
// request.
unsafe impl Kernel for Prompt {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        let memory = self.ring.get_or_init(|| Memory::new(nr_events + 1));
        Ok(AioContext::from_addr(memory.header().expose_provenance()))
    }

    #[inline]
    unsafe fn io_submit(&self, _: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let memory = self.memory();
        let mut tail = memory.tail().load(Relaxed);
        for &iocb in iocbs {
            // SAFETY: it is the caller's, and nobody else uses it during the call.
            let Iocb {
                aio_data,
                aio_nbytes,
                ..
            } = unsafe { iocb.read() };
            let event = IoEvent {
                data: aio_data,
                obj: iocb.addr() as u64,
                res: aio_nbytes as i64,
                res2: 0,
            };
            // The queue never has more in flight than places, so this one was read.
            let place = memory.0[tail as usize + 1].get();
            // SAFETY: it isn't between head and tail, so nobody reads it.
            unsafe { place.write(event) };
            tail = memory.after(tail);
        }
        memory.tail().store(tail, Release);
        Ok(iocbs.len())
    }

    #[inline]
    unsafe fn io_getevents(
        &self,
        _: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        _: Option<Duration>,
    ) -> Result<usize, Errno> {
        let memory = self.memory();
        let (mut head, tail) = (memory.head().load(Relaxed), memory.tail().load(Acquire));
        let mut n = 0;
        while head != tail && n < events.len() {
            // SAFETY: it is between head and tail, and the caller says that nobody else reads.
            events[n].write(unsafe { memory.0[head as usize + 1].get().read() });
            head = memory.after(head);
            n += 1;
        }
        memory.head().store(head, Release);
        // Nothing would ever come.
        if n < min { Err(Errno::EINVAL) } else { Ok(n) }
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        if !self.readable {
            return None;
        }
        let header = ptr::with_exposed_provenance(ctx.addr());
        // SAFETY: the queue keeps the kernel for as long as it uses the ring, and the kernel keeps
        // the memory.
        unsafe { Ring::of_header(header) }
    }

    unsafe fn io_cancel(&self, _: AioContext, _: *mut Iocb) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    unsafe fn io_destroy(&self, _: AioContext) -> Result<(), Errno> {
        Ok(())
    }
}
