//! A fake kernel with a ring.

use std::{
    mem::{MaybeUninit, offset_of},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, RING_COMPAT_FEATURES, RING_MAGIC, RingHeader};
use aio_safe::{
    Errno,
    kernel::{Kernel, Ring},
};

use super::Fake;

/// A fake kernel whose completions can be read without a call, too: those that a test posts in the
/// ring.
#[derive(Clone)]
pub(crate) struct WithRing {
    pub(crate) fake: Fake,
    memory: *mut Memory,
}

const NR: usize = 4;

#[repr(C)]
struct Memory {
    header: RingHeader,
    events: [IoEvent; NR],
}

// SAFETY: the memory is never freed. Tests post before the queue looks, in the same thread.
unsafe impl Send for WithRing {}
// SAFETY: as above.
unsafe impl Sync for WithRing {}

impl WithRing {
    pub(crate) fn new(fake: Fake) -> Self {
        let memory = Box::leak(Box::new(Memory {
            header: RingHeader {
                nr: NR as u32,
                magic: RING_MAGIC,
                compat_features: RING_COMPAT_FEATURES,
                header_length: size_of::<RingHeader>() as u32,
                ..RingHeader::default()
            },
            events: [IoEvent::default(); NR],
        }));
        Self { fake, memory }
    }

    /// Puts an event in the ring.
    pub(crate) fn post(&self, event: IoEvent) {
        let tail = self
            .memory
            .wrapping_byte_add(offset_of!(Memory, header) + offset_of!(RingHeader, tail));
        // SAFETY: the memory is never freed, and the queue uses the tail as an atomic too.
        let tail = unsafe { AtomicU32::from_ptr(tail.cast()) };
        let place = tail.load(SeqCst);
        let events = self.memory.wrapping_byte_add(offset_of!(Memory, events));
        let event_place = events.cast::<IoEvent>().wrapping_add(place as usize);
        // SAFETY: the place is behind the tail, so the queue doesn't look at it.
        unsafe { event_place.write(event) };
        tail.store((place + 1) % NR as u32, SeqCst);
    }
}

// SAFETY: every call is the fake kernel's, and the ring is a ring.
unsafe impl Kernel for WithRing {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        self.fake.io_setup(nr_events)
    }

    unsafe fn ring(&self, _ctx: AioContext) -> Option<Ring> {
        // SAFETY: the memory is laid out so, and is never freed.
        unsafe { Ring::of_header(self.memory.cast()) }
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.fake.io_submit(ctx, iocbs) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.fake.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.fake.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.fake.io_destroy(ctx) }
    }
}
