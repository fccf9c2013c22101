//! A part of an owned buffer.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use std::{
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use super::{IoBuf, IoBufMut};

/// A part of an owned buffer, itself a buffer. Made by [`IoBufExt::slice`].
///
/// ```
/// use aio_safe::buf::{IoBuf, IoBufExt};
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
    /// Invariant: `start` was compared with what the implementation of this very `B` said. A
    /// subtype may have another implementation.
    checked: PhantomData<fn(B) -> B>,
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
    /// A write takes the part only up to the last initialised byte. A read may fill it up to the
    /// buffer's capacity.
    ///
    /// # Panics
    ///
    /// When the range starts beyond its end, or beyond the buffer's initialised bytes. In the
    /// latter case a read would leave a gap of uninitialised bytes.
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
            checked: PhantomData,
        }
    }
}

impl<B: IoBuf> IoBufExt for B {}

// SAFETY: the part lies within the buffer's initialised bytes: `start` was at most B's `io_len`
// when the slice was made, `end` is cut off here, and B promises that its bytes stay where they are
// and that `io_len` never shrinks.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn io_ptr(&self) -> *const u8 {
        self.buffer.io_ptr().wrapping_add(self.start)
    }

    fn io_len(&self) -> usize {
        // A buffer that keeps its contract has no less than when the slice was made.
        let end = self.end.min(self.buffer.io_len());
        end.saturating_sub(self.start)
    }
}

// SAFETY: B promises that source and target begin at the same byte, that `io_len` is at most the
// capacity and never shrinks, and that place and capacity stay as they are. `start` was at most
// `io_len` when the slice was made, so it is within the capacity, and `end` is cut off here. Both
// halves of the slice begin `start` bytes after B's, and end at `end` or where B's end.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.buffer.io_mut_ptr().wrapping_add(self.start)
    }

    fn io_capacity(&self) -> usize {
        // `start` is at most `io_len`, which is within the capacity.
        let end = self.end.min(self.buffer.io_capacity());
        end.saturating_sub(self.start)
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the caller promises that the part's first `len` bytes are initialised, and that
        // they are within its capacity, and so within the buffer's. The `start` bytes before them
        // were initialised when the slice was made: `start` was at most `io_len`, and B promises
        // that source and target begin at the same byte.
        unsafe { self.buffer.set_init(self.start + len) }
    }

    #[inline]
    fn is_always_init() -> bool {
        B::is_always_init()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, ptr};

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

    /// Says other things from one call to the next, which its contract forbids.
    struct Liar(Cell<usize>);

    // SAFETY: none. Nobody follows its pointer.
    unsafe impl IoBuf for Liar {
        fn io_ptr(&self) -> *const u8 {
            ptr::dangling()
        }

        fn io_len(&self) -> usize {
            self.0.replace(4)
        }
    }

    // SAFETY: none, as above.
    unsafe impl IoBufMut for Liar {
        fn io_mut_ptr(&mut self) -> *mut u8 {
            ptr::dangling_mut()
        }

        fn io_capacity(&self) -> usize {
            4
        }

        unsafe fn set_init(&mut self, _len: usize) {}
    }

    #[test]
    fn a_length_never_wraps() {
        let part = Liar(Cell::new(8)).slice(8..);
        assert_eq!((part.io_len(), part.io_capacity()), (0, 0));
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
