//! The completion ring as userspace sees it.

use std::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use aio_sys::abi::{IoEvent, RingHeader};

use super::Context;

/// A context's ring. One consumer at a time: the cases have one thread each.
#[derive(Debug)]
pub(crate) struct Ring<'a> {
    header: NonNull<RingHeader>,
    context: PhantomData<&'a Context>,
}

impl<'a> Ring<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        let _ = context;
        let header = std::ptr::with_exposed_provenance_mut(context.raw().addr());
        Self {
            header: NonNull::new(header).expect("a context is not 0"),
            context: PhantomData,
        }
    }

    /// A copy of the header; head and tail may change at any time.
    pub(crate) fn header(&self) -> RingHeader {
        // SAFETY: the handle that the kernel gives is the address of the ring (fs/aio.c, `ctx->user_id =
        // ctx->mmap_base`), which is mapped until the context is destroyed, and `context` is borrowed till then.
        unsafe { self.header.read_volatile() }
    }

    /// The length of its mapping, in bytes.
    pub(super) fn length(&self) -> usize {
        (self.header().nr as usize + 1) * size_of::<IoEvent>()
    }

    /// Where the next event is taken from.
    pub(crate) fn head(&self) -> u32 {
        self.head_word().load(Ordering::Relaxed)
    }

    /// Says that everything before `head` has been taken.
    pub(crate) fn set_head(&self, head: u32) {
        self.head_word().store(head, Ordering::Release);
    }

    /// Where the kernel puts the next event. What is before it may be read.
    pub(crate) fn tail(&self) -> u32 {
        // SAFETY: as in `header`; the field is within the header.
        let tail = unsafe { &raw mut (*self.header.as_ptr()).tail };
        // SAFETY: as in `header`; a u32 in memory that is shared with the kernel, aligned to 4, and accessed by us
        // through atomics alone.
        unsafe { AtomicU32::from_ptr(tail) }.load(Ordering::Acquire)
    }

    /// The event in a slot.
    pub(crate) fn event(&self, slot: u32) -> IoEvent {
        assert!(slot < self.header().nr, "the ring has that many slots");
        // SAFETY: the events follow the header directly (fs/aio.c, `struct aio_ring`), which is 32 bytes long.
        let events = unsafe { self.header.add(1) }.cast::<IoEvent>();
        // SAFETY: the ring has `nr` slots, and `slot` is one of them.
        let event = unsafe { events.add(slot as usize) };
        // SAFETY: as in `header`; the ring starts on a page and events are at multiples of 32.
        unsafe { event.read_volatile() }
    }

    /// Takes all events that are there, as `io_getevents` would.
    pub(crate) fn reap(&self) -> Vec<IoEvent> {
        let nr = self.header().nr;
        let (mut head, tail) = (self.head(), self.tail());
        let mut events = Vec::new();
        while head != tail {
            events.push(self.event(head));
            head = (head + 1) % nr;
        }
        self.set_head(head);
        events
    }

    fn head_word(&self) -> &AtomicU32 {
        // SAFETY: as in `header`; the field is within the header.
        let head = unsafe { &raw mut (*self.header.as_ptr()).head };
        // SAFETY: as in `header`; a u32 in memory that is shared with the kernel, aligned to 4, and accessed by us
        // through atomics alone.
        unsafe { AtomicU32::from_ptr(head) }
    }
}
