//! Buffers with a length within a fixed capacity. All of their memory is initialised, so growing
//! needs no unsafe code.

use std::{error::Error, fmt, io};

/// A buffer is too small for what was to be added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityError {
    /// The length that the buffer would have, in bytes.
    pub needed: usize,
    /// The buffer's capacity, in bytes.
    pub capacity: usize,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, capacity } = self;
        write!(
            f,
            "{needed} bytes don't fit in a buffer with a capacity of {capacity}"
        )
    }
}

impl Error for CapacityError {}

impl From<CapacityError> for io::Error {
    fn from(error: CapacityError) -> Self {
        Self::new(io::ErrorKind::StorageFull, error)
    }
}

/// The methods and traits of a buffer that has `start() -> NonNull<u8>`, `capacity()` and
/// `store_len()`, and that implements [`IoBuf`](super::IoBuf).
///
/// Invariants of such a buffer, on which the unsafe code here relies:
///
/// - Its `capacity` bytes at `start` are allocated for as long as it lives, and at most
///   `isize::MAX`. They are initialised.
/// - No other value leads to these bytes.
/// - `io_len` is at most the capacity.
macro_rules! with_length {
    ($Buffer:ident) => {
        impl $Buffer {
            /// Sets the length to 0. The capacity stays. A read into the buffer then sets the
            /// length to the number of bytes that were read.
            pub fn clear(&mut self) {
                self.store_len(0);
            }

            /// Shortens the buffer to `len` bytes. If it isn't longer, nothing changes.
            pub fn truncate(&mut self, len: usize) {
                if len < self.len() {
                    self.store_len(len);
                }
            }

            /// Sets the length. Bytes that are added this way have the values that were stored
            /// there last, or zero.
            ///
            /// # Panics
            ///
            /// When `len` is more than the capacity.
            pub fn set_len(&mut self, len: usize) {
                let capacity = self.capacity();
                assert!(
                    len <= capacity,
                    "a length of {len} bytes in a buffer with a capacity of {capacity}"
                );
                self.store_len(len);
            }

            /// Appends bytes.
            ///
            /// # Errors
            ///
            /// [`CapacityError`](crate::buf::CapacityError) when they don't fit in the capacity.
            /// Nothing is appended then.
            pub fn try_extend_from_slice(
                &mut self,
                bytes: &[u8],
            ) -> Result<(), crate::buf::CapacityError> {
                let old = self.len();
                self.grow(old.saturating_add(bytes.len()))?;
                self[old..].copy_from_slice(bytes);
                Ok(())
            }

            /// Appends zeros until the length is a multiple of `multiple` bytes. With `O_DIRECT`
            /// the length of a write has to be a multiple of an alignment, which the end of the
            /// data may not be.
            ///
            /// # Errors
            ///
            /// [`CapacityError`](crate::buf::CapacityError) when the zeros don't fit in the
            /// capacity. Nothing is appended then.
            ///
            /// # Panics
            ///
            /// When `multiple` is 0.
            pub fn pad_to(&mut self, multiple: usize) -> Result<(), crate::buf::CapacityError> {
                assert_ne!(multiple, 0, "a length can't be a multiple of 0");
                let old = self.len();
                let padded = old.checked_next_multiple_of(multiple);
                self.grow(padded.unwrap_or(usize::MAX))?;
                self[old..].fill(0);
                Ok(())
            }

            fn grow(&mut self, needed: usize) -> Result<(), crate::buf::CapacityError> {
                let capacity = self.capacity();
                if needed > capacity {
                    return Err(crate::buf::CapacityError { needed, capacity });
                }
                self.store_len(needed);
                Ok(())
            }
        }

        impl std::ops::Deref for $Buffer {
            type Target = [u8];

            #[inline]
            fn deref(&self) -> &[u8] {
                // SAFETY: the buffer's `capacity` bytes are allocated, initialised and no more than
                // `isize::MAX`, and `io_len` is at most that: these are the invariants of a buffer
                // with this macro. Nobody else reaches the bytes, and `&self` keeps writers away.
                unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.io_len()) }
            }
        }

        impl std::ops::DerefMut for $Buffer {
            #[inline]
            fn deref_mut(&mut self) -> &mut [u8] {
                // SAFETY: the buffer's `capacity` bytes are allocated, initialised and no more than
                // `isize::MAX`, and `io_len` is at most that: these are the invariants of a buffer
                // with this macro. Nobody else reaches the bytes, and `&mut self` keeps everybody
                // else away from this value.
                unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.io_len()) }
            }
        }
    };
}

pub(super) use with_length;
