//! The ring's reader: no more than one loop over what is there.

#![allow(unsafe_code, reason = "reads memory that the kernel writes to")]

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use aio_sys::abi::{AioContext, IoEvent, RingHeader};

pub(super) struct Ring {
    head: *const AtomicU32,
    tail: *const AtomicU32,
    events: *const IoEvent,
    nr: u32,
}

impl Ring {
    /// The ring of a context, if it can be read.
    ///
    /// # Safety
    ///
    /// The context lives for as long as the ring is used.
    pub(super) unsafe fn of(context: AioContext) -> Option<Self> {
        let header = std::ptr::with_exposed_provenance_mut::<RingHeader>(context.addr());
        // SAFETY: a context's handle is the address of its ring, which is mapped while it lives.
        let seen = unsafe { header.read_volatile() };
        if !seen.is_readable() {
            return None;
        }
        // SAFETY: within the header.
        let head = unsafe { &raw const (*header).head };
        // SAFETY: within the header.
        let tail = unsafe { &raw const (*header).tail };
        Some(Self {
            head: head.cast(),
            tail: tail.cast(),
            events: header.wrapping_byte_add(seen.header_length as usize).cast(),
            nr: seen.nr,
        })
    }

    /// Gives `data` and `res` of each event that is there to `each`, and returns how many they were.
    #[inline]
    pub(super) fn take_all(&mut self, mut each: impl FnMut(u64, i64)) -> usize {
        // SAFETY: mapped, aligned, and only ever used as an atomic.
        let head_word = unsafe { &*self.head };
        // SAFETY: as above.
        let tail_word = unsafe { &*self.tail };
        // Nobody else moves the head but io_getevents, and that is called by this thread.
        let mut head = head_word.load(Relaxed);
        // The kernel stored the events before the tail: Acquire.
        let tail = tail_word.load(Acquire);
        if head >= self.nr || tail >= self.nr || head == tail {
            // The kernel takes what is beyond the end modulo nr; it never stores such a thing.
            return 0;
        }
        let mut n = 0;
        while head != tail {
            // SAFETY: `head` is one of the ring's places.
            let event = unsafe { self.events.add(head as usize) };
            // SAFETY: the kernel wrote it before the tail, and leaves it alone until the head is behind it.
            let data = unsafe { (*event).data };
            // SAFETY: as above.
            let result = unsafe { (*event).res };
            each(data, result);
            head = if head + 1 == self.nr { 0 } else { head + 1 };
            n += 1;
        }
        // The events were read before their places are given back: Release.
        head_word.store(head, Release);
        n
    }
}
