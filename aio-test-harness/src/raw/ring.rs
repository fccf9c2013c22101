//! The completion ring in userspace.

use std::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use aio_sys::abi::{IoEvent, RingHeader};

use super::Context;

/// A context's ring. There is one consumer at a time, because a case that uses it has one thread.
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

    /// A copy of the header. Head and tail may change at any time.
    pub(crate) fn header(&self) -> RingHeader {
        // SAFETY: the handle is the address of the ring (fs/aio.c, `ctx->user_id =
        // ctx->mmap_base`). The ring is mapped until the context is destroyed, and `'a` borrows the
        // context.
        unsafe { self.header.read_volatile() }
    }

    /// The length of the ring's mapping in bytes.
    pub(super) fn length(&self) -> usize {
        (self.header().nr as usize + 1) * size_of::<IoEvent>()
    }

    /// The slot of the next event to be taken.
    pub(crate) fn head(&self) -> u32 {
        self.head_word().load(Ordering::Relaxed)
    }

    /// Tells the kernel that all events before `head` were taken.
    pub(crate) fn set_head(&self, head: u32) {
        self.head_word().store(head, Ordering::Release);
    }

    /// The slot of the kernel's next event. The events before it may be read.
    pub(crate) fn tail(&self) -> u32 {
        // SAFETY: the ring is mapped while `'a` borrows the context, and the field is within its
        // header.
        let tail = unsafe { &raw mut (*self.header.as_ptr()).tail };
        // SAFETY: the ring is mapped while `'a` borrows the context. The u32 is aligned to 4 bytes,
        // and this process and the kernel access it atomically.
        unsafe { AtomicU32::from_ptr(tail) }.load(Ordering::Acquire)
    }

    /// The event in a slot.
    pub(crate) fn event(&self, slot: u32) -> IoEvent {
        assert!(slot < self.header().nr, "the ring has the slot");
        // SAFETY: the events follow the header (fs/aio.c, `struct aio_ring`), which has 32 bytes.
        let events = unsafe { self.header.add(1) }.cast::<IoEvent>();
        // SAFETY: the assertion says that `slot` is one of the ring's `nr` slots.
        let event = unsafe { events.add(slot as usize) };
        // SAFETY: the ring is mapped while `'a` borrows the context. It starts on a page, and
        // events are at multiples of 32 bytes.
        unsafe { event.read_volatile() }
    }

    /// Takes all events that are there, as `io_getevents` does.
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
        // SAFETY: the ring is mapped while `'a` borrows the context, and the field is within its
        // header.
        let head = unsafe { &raw mut (*self.header.as_ptr()).head };
        // SAFETY: the ring is mapped while `'a` borrows the context. The u32 is aligned to 4 bytes,
        // and this process and the kernel access it atomically.
        unsafe { AtomicU32::from_ptr(head) }
    }
}
