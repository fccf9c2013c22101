//! The `bytes` crate's types as buffers.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use bytes::{Bytes, BytesMut};

use super::{IoBuf, IoBufMut};

// SAFETY: `Bytes` is a counted reference to bytes that nobody can write to while it exists, and
// that don't move with it.
unsafe impl IoBuf for Bytes {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: `BytesMut` is the only way to its part of an allocation, which doesn't move with it; the
// first `len` bytes are initialised.
unsafe impl IoBuf for BytesMut {
    fn io_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: as above, and the `capacity` bytes from its start on are its alone, to write as well.
// Neither changes unless a method is called that takes `&mut self`.
unsafe impl IoBufMut for BytesMut {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IoBufExt, Op, Queue};

    #[test]
    fn what_is_written_from_bytes_is_read_into_bytes() {
        let file = tempfile::tempfile().unwrap();
        let queue = Queue::new(1).unwrap();
        let source = Bytes::from_static(b"0123456789").slice(2..);
        let written = queue.submit(&file, Op::write(source, 0)).unwrap().wait();
        assert_eq!(written.result, Ok(8));

        let mut target = BytesMut::with_capacity(64);
        target.extend_from_slice(b"head");
        let read = queue
            .submit(&file, Op::read(target.slice(4..), 0))
            .unwrap()
            .wait();
        assert_eq!(read.result, Ok(8));
        assert_eq!(&read.buffer.into_inner()[..], b"head23456789");
    }

    #[test]
    fn a_half_of_a_split_one_ends_where_the_other_begins() {
        let mut whole = BytesMut::zeroed(32);
        let tail = whole.split_off(8);
        assert_eq!((whole.io_capacity(), tail.io_len()), (8, 24));
    }
}
