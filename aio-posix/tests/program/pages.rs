//! Memory whose pages a test takes away.

use std::{ffi::c_void, ptr};

/// Larger pages are several of these.
pub(crate) const PAGE: usize = 1 << 16;

/// Pages one after the other, readable and writable at first.
pub(crate) struct Pages {
    start: *mut u8,
    len: usize,
}

impl Pages {
    pub(crate) fn new(pages: usize) -> Self {
        let len = pages * PAGE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: asks for new memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let start = start.cast();
        Self { start, len }
    }

    /// An address so many bytes behind the start.
    pub(crate) fn at<T>(&self, offset: usize) -> *mut T {
        self.start.wrapping_add(offset).cast()
    }

    fn page(&self, page: usize) -> *mut c_void {
        assert!((page + 1) * PAGE <= self.len);
        self.at(page * PAGE)
    }

    /// Nothing can be read from a page any more, or written to it. It stays taken, so that no other
    /// mapping comes there.
    pub(crate) fn take_away(self, page: usize) -> Self {
        // SAFETY: the page is this value's, and the test has nothing there.
        let done = unsafe { libc::mprotect(self.page(page), PAGE, libc::PROT_NONE) };
        assert_eq!(done, 0);
        self
    }

    /// Nothing is mapped there any more. For the last page, behind which little is mapped.
    pub(crate) fn unmap(mut self, page: usize) -> Self {
        assert_eq!((page + 1) * PAGE, self.len);
        // SAFETY: the page is this value's, and the test has nothing there.
        let done = unsafe { libc::munmap(self.page(page), PAGE) };
        assert_eq!(done, 0);
        self.len -= PAGE;
        self
    }

    /// A page can be read, but not written to.
    pub(crate) fn read_only(self, page: usize) -> Self {
        // SAFETY: the page is this value's.
        let done = unsafe { libc::mprotect(self.page(page), PAGE, libc::PROT_READ) };
        assert_eq!(done, 0);
        self
    }

    /// Writes a value to a place, aligned or not. What was made read-only stays as it is.
    pub(crate) fn put<T>(&self, offset: usize, value: T) -> *mut T {
        assert!(offset + size_of::<T>() <= self.len);
        let place = self.at::<T>(offset);
        // SAFETY: the place is in this memory, and writable.
        unsafe { place.write_unaligned(value) };
        place
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the memory is this value's, and the test is over.
            unsafe { libc::munmap(self.start.cast(), self.len) };
        }
    }
}
