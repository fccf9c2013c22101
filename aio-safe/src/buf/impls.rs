//! The standard library's types as buffers.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use std::sync::Arc;

use super::{IoBuf, IoBufMut};

// SAFETY: a `Vec`'s bytes are on the heap and stay there when the `Vec` moves. The first `len` are
// initialised. Only the owner of the `Vec` reaches them.
unsafe impl IoBuf for Vec<u8> {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: all `capacity` bytes are allocated, and `as_mut_ptr` may be used to write to any of them.
// They begin with the initialised ones, and there are never fewer than `len`. Only this `Vec`
// reaches them, and `set_init` only raises `len`.
unsafe impl IoBufMut for Vec<u8> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.capacity()
    }

    unsafe fn set_init(&mut self, len: usize) {
        if len > self.len() {
            // SAFETY: the caller promises that `len` bytes fit in the capacity and are initialised.
            unsafe { self.set_len(len) }
        }
    }
}

// SAFETY: the bytes are on the heap, all initialised, and reached through this box alone.
unsafe impl IoBuf for Box<[u8]> {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: a box of initialised bytes is writable in its whole length, and reached through it alone.
// Source and target are the same bytes.
unsafe impl IoBufMut for Box<[u8]> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.len()
    }

    unsafe fn set_init(&mut self, _len: usize) {}

    #[inline]
    fn is_always_init() -> bool {
        true
    }
}

// SAFETY: a `String`'s bytes are a `Vec<u8>`'s: on the heap, initialised, and its own.
unsafe impl IoBuf for String {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: nobody can write to the bytes behind a shared reference to plain bytes, and 'static
// outlives every operation.
unsafe impl IoBuf for &'static [u8] {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: nobody can write to the bytes of a string slice, and 'static outlives every operation.
unsafe impl IoBuf for &'static str {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: this clone of the `Arc` keeps the bytes alive and where they are. While it exists
// nobody gets `&mut` to them: `Arc::get_mut` and `make_mut` refuse or copy when there are two.
unsafe impl IoBuf for Arc<[u8]> {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}
