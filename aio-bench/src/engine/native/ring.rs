//! Reads the completion ring.

#![allow(unsafe_code, reason = "reads memory that the kernel writes to")]

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use aio_sys::abi::{AioContext, IoEvent, RingHeader};

#[derive(Clone, Copy)]
pub(in crate::engine) struct Ring {
    head: *const AtomicU32,
    tail: *const AtomicU32,
    events: *const IoEvent,
    nr: u32,
}

// SAFETY: the ring is mapped for the whole process. Head and tail are only used as atomics.
unsafe impl Send for Ring {}

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
        // SAFETY: the field lies within the header, which is mapped.
        let head = unsafe { &raw const (*header).head };
        // SAFETY: the field lies within the header, which is mapped.
        let tail = unsafe { &raw const (*header).tail };
        Some(Self {
            head: head.cast(),
            tail: tail.cast(),
            events: header.wrapping_byte_add(seen.header_length as usize).cast(),
            nr: seen.nr,
        })
    }

    /// The slot of the first event that is there, and the slot after the last one.
    #[inline(always)]
    pub(super) fn bounds(&self) -> (u32, u32) {
        // SAFETY: `of`'s caller keeps the context, and so the mapping. The word is aligned to 4
        // bytes and only used as an atomic.
        let head = unsafe { &*self.head };
        // SAFETY: `of`'s caller keeps the context, and so the mapping. The word is aligned to 4
        // bytes and only used as an atomic.
        let tail = unsafe { &*self.tail };
        // Only a consumer moves the head, here or in io_getevents, and there is one consumer at a
        // time: Relaxed. The kernel stored the events before the tail: Acquire. Neither is ever
        // stored as large as nr.
        (head.load(Relaxed), tail.load(Acquire))
    }

    /// `data` and `res` of the event in a slot.
    ///
    /// # Safety
    ///
    /// The slot lies within [`bounds`](Self::bounds), and nobody else takes events.
    #[inline(always)]
    pub(super) unsafe fn event(&self, slot: u32) -> (u64, i64) {
        // SAFETY: the caller's slot lies within the bounds, so it is one of the ring's `nr` slots.
        let event = unsafe { self.events.add(slot as usize) };
        // SAFETY: the kernel stored the event before it moved the tail. It overwrites the event
        // only after the head has moved past it, and the caller promises that nobody else moves the
        // head.
        let data = unsafe { (*event).data };
        // SAFETY: the kernel overwrites the event only after the head has moved past it.
        (data, unsafe { (*event).res })
    }

    /// The slot after this one.
    #[inline(always)]
    pub(super) fn after(&self, slot: u32) -> u32 {
        if slot + 1 == self.nr { 0 } else { slot + 1 }
    }

    /// Gives the slots before `head` back to the kernel. Their events were read.
    #[inline(always)]
    pub(super) fn release(&self, head: u32) {
        // SAFETY: `of`'s caller keeps the context, and so the mapping. The word is aligned to 4
        // bytes and only used as an atomic.
        let head_word = unsafe { &*self.head };
        // Release: the events were read before.
        head_word.store(head, Release);
    }
}
