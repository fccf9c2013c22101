//! The completion ring in userspace.

use std::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use aio_sys::abi::{IoEvent, RingHeader};

/// A context's ring. There is one consumer at a time, because a case that uses it has one thread.
#[derive(Debug)]
pub(crate) struct Ring<'a> {
    header: NonNull<RingHeader>,
    owner: PhantomData<&'a ()>,
}

impl<'a> Ring<'a> {
    /// The ring with this header.
    ///
    /// # Safety
    ///
    /// A ring as the kernel lays it out begins there. It stays mapped while the result is used.
    pub(super) unsafe fn at(header: *const RingHeader) -> Self {
        Self {
            header: NonNull::new(header.cast_mut()).expect("a ring isn't at address 0"),
            owner: PhantomData,
        }
    }

    /// A copy of the header. Head and tail may change at any time.
    pub(crate) fn header(&self) -> RingHeader {
        // SAFETY: `at` requires that the ring begins with it, and that it stays mapped.
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
        // SAFETY: `at` requires that the ring stays mapped. The field is within its header.
        let tail = unsafe { &raw mut (*self.header.as_ptr()).tail };
        // SAFETY: `at` requires that the ring stays mapped. The u32 is aligned to 4 bytes, and
        // everybody accesses it atomically.
        unsafe { AtomicU32::from_ptr(tail) }.load(Ordering::Acquire)
    }

    /// The event in a slot.
    pub(crate) fn event(&self, slot: u32) -> IoEvent {
        assert!(slot < self.header().nr, "the ring has the slot");
        // SAFETY: the events follow the header (fs/aio.c, `struct aio_ring`), which has 32 bytes.
        let events = unsafe { self.header.add(1) }.cast::<IoEvent>();
        // SAFETY: the assertion says that `slot` is one of the ring's `nr` slots.
        let event = unsafe { events.add(slot as usize) };
        // SAFETY: `at` requires that the ring stays mapped. Its events are as aligned as its
        // header, whose length is an event's.
        unsafe { event.read_volatile() }
    }

    /// How many events are there.
    pub(crate) fn count(&self) -> u32 {
        let nr = self.header().nr;
        (self.tail() + nr - self.head()) % nr
    }

    /// Takes all events that are there, as `io_getevents` does.
    pub(crate) fn reap(&self) -> Vec<IoEvent> {
        self.take(usize::MAX)
    }

    /// Takes events that are there, up to this number.
    pub(super) fn take(&self, room: usize) -> Vec<IoEvent> {
        let nr = self.header().nr;
        let (mut head, tail) = (self.head(), self.tail());
        let mut events = Vec::new();
        while head != tail && events.len() < room {
            events.push(self.event(head));
            head = (head + 1) % nr;
        }
        self.set_head(head);
        events
    }

    fn head_word(&self) -> &AtomicU32 {
        // SAFETY: `at` requires that the ring stays mapped. The field is within its header.
        let head = unsafe { &raw mut (*self.header.as_ptr()).head };
        // SAFETY: `at` requires that the ring stays mapped. The u32 is aligned to 4 bytes, and
        // everybody accesses it atomically.
        unsafe { AtomicU32::from_ptr(head) }
    }
}
