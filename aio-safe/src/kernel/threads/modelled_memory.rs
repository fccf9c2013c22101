//! The memory of a completion ring in a model.

#![allow(unsafe_code, reason = "shares memory with the ring's reader")]

use aio_abi::IoEvent;

use crate::{
    kernel::Ring,
    sync::{UnsafeCell, atomic::AtomicU32},
};

/// As the real one, in parts of which loom sees every use.
pub(super) struct Memory {
    head: Box<AtomicU32>,
    tail: Box<AtomicU32>,
    events: Box<[UnsafeCell<IoEvent>]>,
}

// SAFETY: loom checks every use of the events, and fails the model on a race.
unsafe impl Send for Memory {}
// SAFETY: `&Memory` gives only atomics and cells, which loom checks.
unsafe impl Sync for Memory {}

#[allow(clippy::unnecessary_wraps, reason = "the real one may have no memory")]
impl Memory {
    pub(super) fn new(nr: u32) -> Option<Self> {
        Some(Self {
            head: Box::new(AtomicU32::new(0)),
            tail: Box::new(AtomicU32::new(0)),
            events: (0..nr)
                .map(|_| UnsafeCell::new(IoEvent::default()))
                .collect(),
        })
    }

    pub(super) fn addr(&self) -> usize {
        std::ptr::from_ref(&*self.head).addr()
    }

    pub(super) fn nr(&self) -> u32 {
        self.events.len() as u32
    }

    /// # Safety
    ///
    /// The memory outlives the result.
    pub(super) unsafe fn reader(&self) -> Option<Ring> {
        // SAFETY: the pointers are to this memory, which outlives the ring, as the caller says.
        Some(unsafe { Ring::of_model(&*self.head, &*self.tail, self.events.as_ptr(), self.nr()) })
    }

    pub(super) fn head(&self) -> &AtomicU32 {
        &self.head
    }

    pub(super) fn tail(&self) -> &AtomicU32 {
        &self.tail
    }

    pub(super) fn events(&self) -> &[UnsafeCell<IoEvent>] {
        &self.events
    }
}
