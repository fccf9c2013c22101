//! A part of an owned buffer.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use std::ops::{Bound, RangeBounds};

use super::{IoBuf, IoBufMut};

/// A part of an owned buffer, itself a buffer. Made by [`IoBufExt::slice`].
///
/// ```
/// use aio_safe::{IoBuf, IoBufExt};
///
/// let part = vec![1_u8, 2, 3, 4, 5].slice(1..3);
/// assert_eq!(part.io_len(), 2);
/// assert_eq!(part.into_inner(), [1, 2, 3, 4, 5]);
/// ```
#[derive(Debug)]
pub struct Slice<B> {
    buffer: B,
    /// At most the buffer's `io_len`.
    start: usize,
    /// At least `start`.
    end: usize,
}

impl<B> Slice<B> {
    /// The whole buffer.
    pub fn into_inner(self) -> B {
        self.buffer
    }
}

/// Taking a part of an owned buffer. Implemented for every [`IoBuf`].
pub trait IoBufExt: IoBuf + Sized {
    /// Narrows the buffer to a range of its bytes.
    ///
    /// As a write's source the part ends at the last initialised byte at the latest; as a read's
    /// target it may reach further, up to the buffer's capacity.
    ///
    /// # Panics
    ///
    /// When the range's start lies behind its end, or behind the buffer's initialised bytes: a read
    /// there would leave a gap of bytes that nobody wrote.
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self> {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n
                .checked_add(1)
                .expect("the range starts behind usize::MAX"),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.checked_add(1).expect("the range ends behind usize::MAX"),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => usize::MAX,
        };
        assert!(
            start <= end,
            "the slice starts at {start} but ends at {end}"
        );
        let len = self.io_len();
        assert!(
            start <= len,
            "the slice starts at {start} in a buffer of {len} initialised bytes"
        );
        Slice {
            buffer: self,
            start,
            end,
        }
    }
}

impl<B: IoBuf> IoBufExt for B {}

// SAFETY: the part lies within the buffer's initialised bytes: `start` was checked when the slice was
// made, `end` is cut off here, and B promises that neither place nor length changes.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn io_ptr(&self) -> *const u8 {
        self.buffer.io_ptr().wrapping_add(self.start)
    }

    fn io_len(&self) -> usize {
        self.end.min(self.buffer.io_len()) - self.start
    }
}

// SAFETY: the part lies within the buffer's capacity: `start` is at most `io_len`, which is within
// it, `end` is cut off here, and B promises that neither place nor capacity changes.
unsafe impl<B: IoBuf + IoBufMut> IoBufMut for Slice<B> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.buffer.io_mut_ptr().wrapping_add(self.start)
    }

    fn io_capacity(&self) -> usize {
        self.end.min(self.buffer.io_capacity()) - self.start
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the caller promises that `len` bytes of the part are initialised, and those before
        // the part were when the slice was made (`start <= io_len`).
        unsafe { self.buffer.set_init(self.start + len) }
    }

    #[inline]
    fn is_always_init() -> bool {
        B::is_always_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_cut_off_at_the_initialised_bytes() {
        let part = vec![0_u8; 10].slice(4..40);
        assert_eq!(
            (part.io_len(), part.io_ptr()),
            (6, part.buffer.as_ptr().wrapping_add(4))
        );
        assert_eq!(vec![0_u8; 10].slice(..=3).io_len(), 4);
        assert_eq!(vec![0_u8; 10].slice(10..).io_len(), 0);
    }

    #[test]
    fn a_target_may_reach_behind_them() {
        let mut buffer = Vec::with_capacity(32);
        buffer.extend([7_u8; 8]);

        let mut part = buffer.slice(8..16);
        assert_eq!(part.io_capacity(), 8);
        let target = part.io_mut_ptr();
        // SAFETY: the eight bytes at `target` are within the vector's capacity of 32.
        unsafe { target.write_bytes(1, 8) };
        // SAFETY: they have just been written.
        unsafe { part.set_init(8) };
        assert_eq!(part.into_inner()[..], [[7_u8; 8], [1; 8]].concat());
    }

    #[test]
    #[should_panic(expected = "starts at 3 but ends at 2")]
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    fn a_reversed_range_is_refused() {
        let _ = vec![0_u8; 4].slice(3..2);
    }

    #[test]
    #[should_panic(expected = "starts at 5 in a buffer of 4 initialised bytes")]
    fn a_gap_is_refused() {
        let _ = vec![0_u8; 4].slice(5..);
    }
}
