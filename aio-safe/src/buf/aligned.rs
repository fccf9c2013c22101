//! A buffer with an alignment chosen at run time, which `O_DIRECT` needs.

#![allow(unsafe_code, reason = "owns memory from the allocator")]

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    error::Error,
    fmt,
    ptr::NonNull,
};

use super::{IoBuf, IoBufMut, length::with_length};

/// A buffer with a fixed capacity, and an alignment chosen at run time.
///
/// It derefs to its first [`len`](slice::len) bytes. A write takes these bytes. A read stores bytes
/// from the buffer's start, up to its capacity. It lengthens the buffer to the number of bytes that
/// were read, and never shortens it. So [`clear`](Self::clear) a buffer before it is read into
/// again: then its length is the number of bytes that were read.
///
/// With `O_DIRECT` the address, the length and the file offset of each transfer must be multiples
/// of an alignment. The alignment depends on the device and on the file system. It is often the
/// logical block size (512 or 4096 bytes). For the address it can be smaller.
/// [`fs::File`](crate::fs::File) finds the alignment out, and
/// [`File::buffer`](crate::fs::File::buffer) makes a buffer that fits.
///
/// ```
/// use aio_safe::AlignedBuf;
///
/// let mut buffer = AlignedBuf::with_capacity(8192, 4096)?;
/// buffer.try_extend_from_slice(b"hello")?;
/// assert_eq!((&buffer[..], buffer.capacity()), (&b"hello"[..], 8192));
/// assert_eq!(buffer.as_ptr().addr() % 4096, 0);
///
/// // The length of a direct write has to be a multiple of the block size.
/// buffer.pad_to(4096)?;
/// assert_eq!(buffer.len(), 4096);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct AlignedBuf {
    start: NonNull<u8>,
    capacity: usize,
    tail: Tail,
}

with_length!(AlignedBuf);

/// How much of the capacity is beyond the length, and the alignment. They share a word, so that a
/// read into the buffer fits in one cache line of a slot, together with a word of the program's.
#[derive(Clone, Copy)]
struct Tail(u64);

impl Tail {
    /// Bits for the binary logarithm of the alignment.
    const ALIGN_BITS: u32 = 6;
    /// The largest number of bytes beyond the length. No machine has so large an address space.
    const MAX_SPARE: u64 = u64::MAX >> Self::ALIGN_BITS;

    fn new(layout: Layout, spare: usize) -> Self {
        Self((spare as u64) << Self::ALIGN_BITS | u64::from(layout.align().trailing_zeros()))
    }

    #[inline]
    fn align(self) -> usize {
        1 << (self.0 & ((1 << Self::ALIGN_BITS) - 1))
    }

    #[inline]
    fn spare(self) -> usize {
        // This doesn't truncate: `new` and `set_spare` were given a usize.
        (self.0 >> Self::ALIGN_BITS) as usize
    }

    #[inline]
    fn set_spare(&mut self, spare: usize) {
        let align = self.0 & ((1 << Self::ALIGN_BITS) - 1);
        self.0 = (spare as u64) << Self::ALIGN_BITS | align;
    }
}

// SAFETY: the buffer owns its memory like a `Box<[u8]>`, which is Send.
unsafe impl Send for AlignedBuf {}
// SAFETY: `&AlignedBuf` gives nothing but `&[u8]`.
unsafe impl Sync for AlignedBuf {}

/// No memory could be allocated for a buffer: its alignment isn't a power of two, its size is
/// larger than an allocation can be, or memory has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError {
    pub(super) len: usize,
    pub(super) align: usize,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, align } = self;
        if align.is_power_of_two() {
            write!(
                f,
                "no memory for a buffer of {len} bytes aligned to {align}"
            )
        } else {
            write!(
                f,
                "a buffer can't be aligned to {align}: that is not a power of two"
            )
        }
    }
}

impl Error for AllocError {}

impl From<AllocError> for std::io::Error {
    fn from(error: AllocError) -> Self {
        let kind = if error.align.is_power_of_two() {
            std::io::ErrorKind::OutOfMemory
        } else {
            std::io::ErrorKind::InvalidInput
        };
        Self::new(kind, error)
    }
}

impl AlignedBuf {
    /// An empty buffer with room for `capacity` bytes, whose address is a multiple of `align`
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when `align` isn't a power of two, when `capacity` is too large, or when
    /// memory has run out.
    pub fn with_capacity(capacity: usize, align: usize) -> Result<Self, AllocError> {
        let mut buffer = Self::zeroed(capacity, align)?;
        buffer.clear();
        Ok(buffer)
    }

    /// A buffer of `len` zeros whose address is a multiple of `align` bytes. Its capacity is `len`.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when `align` isn't a power of two, when `len` is too large, or when memory
    /// has run out.
    pub fn zeroed(len: usize, align: usize) -> Result<Self, AllocError> {
        let error = AllocError { len, align };
        let layout = Layout::from_size_align(len, align).map_err(|_| error)?;
        if len as u64 > Tail::MAX_SPARE {
            return Err(error);
        }
        let start = if len == 0 {
            NonNull::new(std::ptr::without_provenance_mut(align)).ok_or(error)?
        } else {
            // SAFETY: the layout's size is not zero.
            NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(error)?
        };
        Ok(Self {
            start,
            capacity: len,
            tail: Tail::new(layout, 0),
        })
    }

    /// The alignment that was asked for, in bytes.
    pub fn align(&self) -> usize {
        self.tail.align()
    }

    /// The greatest length that the buffer can have, in bytes.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Changes the length, which is at most the capacity.
    #[inline]
    fn store_len(&mut self, len: usize) {
        self.tail.set_spare(self.capacity - len);
    }
}

impl Drop for AlignedBuf {
    // Inlined, so nothing takes the buffer's address, and it can stay in registers.
    #[inline]
    fn drop(&mut self) {
        if self.capacity != 0 {
            // SAFETY: `zeroed` made a `Layout` of this size and this alignment, which checked them,
            // and neither has changed since.
            let layout = unsafe { Layout::from_size_align_unchecked(self.capacity, self.align()) };
            // SAFETY: `zeroed` allocated this memory with this layout, and nobody else frees it.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("align", &self.align())
            .finish()
    }
}

// SAFETY: the bytes are an allocation of its own that stays where it is when the value moves, all
// initialised, and reached through this value alone. The length changes only by `&mut self`.
unsafe impl IoBuf for AlignedBuf {
    #[inline]
    fn io_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_len(&self) -> usize {
        self.capacity - self.tail.spare()
    }
}

// SAFETY: `capacity` bytes are allocated and writable, and only this value has their address.
// Source and target are the same bytes. `spare` is at most the capacity, and `set_init` only makes
// it smaller.
unsafe impl IoBufMut for AlignedBuf {
    #[inline]
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    unsafe fn set_init(&mut self, len: usize) {
        // A full buffer first: that is one comparison.
        if self.tail.spare() != 0 && len > self.io_len() {
            self.store_len(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_and_zeroed() {
        for align in [1, 2, 512, 4096, 1 << 21] {
            let buffer = AlignedBuf::zeroed(1000, align).unwrap();
            assert_eq!(buffer.as_ptr().addr() % align, 0);
            assert_eq!((&*buffer, buffer.align()), (&[0; 1000][..], align));
        }
    }

    #[test]
    fn an_empty_one_is_aligned_too() {
        let buffer = AlignedBuf::zeroed(0, 4096).unwrap();
        assert_eq!((buffer.as_ptr().addr() % 4096, buffer.len()), (0, 0));
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        let text = |len, align| AlignedBuf::zeroed(len, align).unwrap_err().to_string();
        assert_eq!(
            text(1, 3),
            "a buffer can't be aligned to 3: that is not a power of two"
        );
        assert_eq!(
            text(1, 0),
            "a buffer can't be aligned to 0: that is not a power of two"
        );
        assert!(text(usize::MAX, 512).starts_with("no memory for a buffer of"));
    }

    /// The length is at most the capacity, whatever safe code does. What lies beyond it is kept.
    #[test]
    fn the_length_moves_within_the_capacity() {
        let mut buffer = AlignedBuf::with_capacity(10, 4).unwrap();
        assert_eq!(
            (buffer.len(), buffer.capacity(), buffer.align()),
            (0, 10, 4)
        );
        buffer.try_extend_from_slice(b"01234567").unwrap();
        assert_eq!(&*buffer, b"01234567");
        let full = buffer.try_extend_from_slice(b"89a").unwrap_err();
        assert_eq!((full.needed, full.capacity), (11, 10));
        assert_eq!(&*buffer, b"01234567");
        buffer.truncate(20);
        buffer.truncate(3);
        assert_eq!(&*buffer, b"012");
        buffer.pad_to(2).unwrap();
        assert_eq!(&*buffer, b"012\0");
        assert_eq!(buffer.pad_to(16).unwrap_err().needed, 16);
        buffer.set_len(10);
        assert_eq!(&*buffer, b"012\x004567\0\0");
        assert_eq!(buffer.pad_to(usize::MAX).unwrap_err().needed, usize::MAX);
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.pad_to(8).unwrap();
        assert!(buffer.is_empty(), "0 is a multiple of everything");
    }

    #[test]
    #[should_panic(expected = "a length of 11 bytes in a buffer with a capacity of 10")]
    fn a_length_beyond_the_capacity_is_refused() {
        AlignedBuf::zeroed(10, 1).unwrap().set_len(11);
    }

    #[test]
    #[should_panic(expected = "multiple of 0")]
    fn a_multiple_of_nothing_is_refused() {
        let _ = AlignedBuf::zeroed(10, 1).unwrap().pad_to(0);
    }

    #[test]
    fn a_read_only_lengthens_it() {
        let mut buffer = AlignedBuf::with_capacity(8, 1).unwrap();
        for (read, len) in [(0, 0), (5, 5), (3, 5), (8, 8)] {
            // SAFETY: all 8 bytes were zeroed.
            unsafe { buffer.set_init(read) };
            assert_eq!(buffer.len(), len);
        }
    }
}
