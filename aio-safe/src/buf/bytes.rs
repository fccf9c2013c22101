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

// SAFETY: the `capacity` bytes from the start of a `BytesMut` on are its alone, to write as well,
// and `io_mut_ptr` points to all of them. They begin with the initialised ones, `len` is at most
// `capacity`, and neither shrinks or moves unless a method is called that takes `&mut self`. Of
// those, `io_mut_ptr` leaves both as they were, and `set_init` only raises `len`.
unsafe impl IoBufMut for BytesMut {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        // A pointer to the initialised bytes would be valid for those alone. With a length of 0 the
        // spare capacity is all there is, and a pointer to it is valid for all.
        let len = self.len();
        self.clear();
        let start = self.spare_capacity_mut().as_mut_ptr();
        // SAFETY: it was the length just now, and neither of the two calls wrote to the bytes or
        // moved them.
        unsafe { self.set_len(len) };
        start.cast()
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
    use crate::{Op, Queue, buf::IoBufExt};

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

    /// Under Miri: the pointer is valid for all that it is said to be, and stays so until the bytes
    /// are looked at again.
    #[test]
    fn the_whole_capacity_may_be_written() {
        let mut target = BytesMut::with_capacity(64);
        target.extend_from_slice(b"head");
        let (start, capacity) = (target.io_mut_ptr(), target.io_capacity());
        assert_eq!((start.cast_const(), target.io_len()), (target.io_ptr(), 4));
        let mut moved = target;
        // SAFETY: IoBufMut's contract: `capacity` bytes may be written there.
        unsafe { start.write_bytes(7, capacity) };
        // SAFETY: they have just been written.
        unsafe { moved.set_init(capacity) };
        assert_eq!(moved, vec![7; capacity]);
    }

    #[test]
    fn a_half_of_a_split_one_ends_where_the_other_begins() {
        let mut whole = BytesMut::zeroed(32);
        let tail = whole.split_off(8);
        assert_eq!((whole.io_capacity(), tail.io_len()), (8, 24));
    }
}
