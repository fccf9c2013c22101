//! The ring's reader.

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

// SAFETY: the ring is mapped for the whole process, and head and tail are only used as atomics.
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

    /// Where the events that are there begin, and where they end.
    #[inline(always)]
    pub(super) fn bounds(&self) -> (u32, u32) {
        // SAFETY: mapped, aligned, and only ever used as an atomic.
        let head = unsafe { &*self.head };
        // SAFETY: as above.
        let tail = unsafe { &*self.tail };
        // Nobody moves the head but who takes events, here and in io_getevents: one at a time. The kernel stored the events before the
        // tail: Acquire. Neither is ever stored as large as nr.
        (head.load(Relaxed), tail.load(Acquire))
    }

    /// `data` and `res` of the event at `place`.
    ///
    /// # Safety
    ///
    /// It lies within the bounds, and nobody else takes events.
    #[inline(always)]
    pub(super) unsafe fn event(&self, place: u32) -> (u64, i64) {
        // SAFETY: it is one of the ring's places.
        let event = unsafe { self.events.add(place as usize) };
        // SAFETY: the kernel wrote it before the tail, and leaves it alone until the head is behind it; nobody else moves
        // that.
        let data = unsafe { (*event).data };
        // SAFETY: as above.
        (data, unsafe { (*event).res })
    }

    /// The place after this one.
    #[inline(always)]
    pub(super) fn after(&self, place: u32) -> u32 {
        if place + 1 == self.nr { 0 } else { place + 1 }
    }

    /// Gives the places before `head` back to the kernel: their events were read.
    #[inline(always)]
    pub(super) fn release(&self, head: u32) {
        // SAFETY: mapped, aligned, and only ever used as an atomic.
        let head_word = unsafe { &*self.head };
        // The events were read before: Release.
        head_word.store(head, Release);
    }
}
