//! The memory of a completion ring: a header and entries, in one allocation.

#![allow(unsafe_code, reason = "allocates memory that a reader shares")]

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    mem::offset_of,
    ptr::NonNull,
    slice,
};

use aio_abi::{IoEvent, RING_COMPAT_FEATURES, RING_MAGIC, RingHeader};

use crate::{
    kernel::Ring,
    sync::{UnsafeCell, atomic::AtomicU32},
};

/// See the [module](self).
pub(super) struct Memory {
    header: NonNull<RingHeader>,
    layout: Layout,
    nr: u32,
}

// SAFETY: the memory is its own, and isn't bound to a thread.
unsafe impl Send for Memory {}
// SAFETY: `&Memory` gives atomics, and cells whose users promise that nobody writes to one that
// another thread uses.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory for `nr` entries. `None` if there isn't enough.
    pub(super) fn new(nr: u32) -> Option<Self> {
        let header = Layout::new::<RingHeader>();
        let events = Layout::array::<IoEvent>(nr as usize).ok()?;
        let (layout, offset) = header.extend(events).ok()?;
        debug_assert_eq!(offset, size_of::<RingHeader>());
        // SAFETY: the header's size isn't zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?.cast::<RingHeader>();
        let header = RingHeader {
            nr,
            magic: RING_MAGIC,
            compat_features: RING_COMPAT_FEATURES,
            header_length: size_of::<RingHeader>() as u32,
            ..RingHeader::default()
        };
        // SAFETY: the memory was allocated with room for a header, and nobody else knows of it.
        unsafe { start.write(header) };
        Some(Self {
            header: start,
            layout,
            nr,
        })
    }

    pub(super) fn addr(&self) -> usize {
        self.header.as_ptr().expose_provenance()
    }

    pub(super) fn nr(&self) -> u32 {
        self.nr
    }

    /// As [`RingMemory::reader`](super::ring::RingMemory::reader).
    ///
    /// # Safety
    ///
    /// The memory outlives the result.
    pub(super) unsafe fn reader(&self) -> Option<Ring> {
        // SAFETY: the header and its entries are laid out as the kernel's, and the caller keeps
        // them.
        unsafe { Ring::of_header(self.header.as_ptr()) }
    }

    pub(super) fn head(&self) -> &AtomicU32 {
        self.number(offset_of!(RingHeader, head))
    }

    pub(super) fn tail(&self) -> &AtomicU32 {
        self.number(offset_of!(RingHeader, tail))
    }

    /// One of the header's numbers that change.
    fn number(&self, offset: usize) -> &AtomicU32 {
        let place = self.header.as_ptr().wrapping_byte_add(offset).cast();
        // SAFETY: the field lies in the allocation, is aligned for it, and everybody uses it as an
        // atomic.
        unsafe { AtomicU32::from_ptr(place) }
    }

    pub(super) fn events(&self) -> &[UnsafeCell<IoEvent>] {
        let first = self.header.as_ptr().wrapping_add(1);
        // SAFETY: `nr` entries follow the header, in the same allocation. They are zeroed or
        // written, and an `UnsafeCell` has the layout of what is in it.
        unsafe { slice::from_raw_parts(first.cast(), self.nr as usize) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.header.as_ptr().cast(), self.layout) };
    }
}
