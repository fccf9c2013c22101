//! A buffer with an alignment chosen at run time, which `O_DIRECT` needs.

#![allow(unsafe_code, reason = "owns memory from the allocator")]

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{IoBuf, IoBufMut};

/// A buffer of fixed size with an alignment chosen at run time, all of it initialised.
///
/// With `O_DIRECT` the address, the length and the file offset of each transfer must be multiples
/// of an alignment. The alignment depends on the device and on the file system. It is often the
/// logical block size (512 or 4096 bytes). For the address it can be smaller. An alignment of 4096
/// bytes is enough for all common devices. `statx` tells the exact alignment of a file
/// (`STATX_DIOALIGN`, since Linux 6.1).
///
/// ```
/// use aio_safe::AlignedBuf;
///
/// let mut buffer = AlignedBuf::zeroed(8192, 4096)?;
/// buffer[..5].copy_from_slice(b"hello");
/// assert_eq!(buffer.as_ptr().addr() % 4096, 0);
/// # Ok::<_, aio_safe::buf::AllocError>(())
/// ```
pub struct AlignedBuf {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the buffer owns its memory like a `Box<[u8]>`, which is Send.
unsafe impl Send for AlignedBuf {}
// SAFETY: `&AlignedBuf` gives nothing but `&[u8]`.
unsafe impl Sync for AlignedBuf {}

/// No memory could be allocated for a buffer: its alignment isn't a power of two, its size is
/// larger than an allocation can be, or memory has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError {
    len: usize,
    align: usize,
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
    /// A buffer of `len` zeros whose address is a multiple of `align` bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when `align` isn't a power of two, when `len` is too large, or when memory
    /// has run out.
    pub fn zeroed(len: usize, align: usize) -> Result<Self, AllocError> {
        let error = AllocError { len, align };
        let layout = Layout::from_size_align(len, align).map_err(|_| error)?;
        let start = if len == 0 {
            NonNull::new(std::ptr::without_provenance_mut(align)).ok_or(error)?
        } else {
            // SAFETY: the layout's size is not zero.
            NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(error)?
        };
        Ok(Self { start, layout })
    }

    /// The alignment that was asked for, in bytes.
    pub fn align(&self) -> usize {
        self.layout.align()
    }
}

impl Drop for AlignedBuf {
    // Inlined, so nothing takes the buffer's address, and it can stay in registers.
    #[inline]
    fn drop(&mut self) {
        if self.layout.size() != 0 {
            // SAFETY: `zeroed` allocated this memory with this layout, and nobody else frees it.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the memory is allocated and was zeroed, `Layout` keeps the size within
        // `isize::MAX`, and `&self` keeps writers away.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the memory is allocated and was zeroed, `Layout` keeps the size within
        // `isize::MAX`, and `&mut self` keeps everybody else away.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.layout.size())
            .field("align", &self.layout.align())
            .finish()
    }
}

// SAFETY: the bytes are an allocation of its own that stays where it is when the value moves, all
// initialised, and reached through this value alone.
unsafe impl IoBuf for AlignedBuf {
    #[inline]
    fn io_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_len(&self) -> usize {
        self.layout.size()
    }
}

// SAFETY: the allocation is as long as the layout says, it is writable, and only this value has its
// address. Source and target are the same bytes, and all of them are initialised.
unsafe impl IoBufMut for AlignedBuf {
    #[inline]
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_capacity(&self) -> usize {
        self.layout.size()
    }

    #[inline]
    unsafe fn set_init(&mut self, _len: usize) {}

    #[inline]
    fn is_always_init() -> bool {
        true
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
}
