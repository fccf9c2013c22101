//! Buffers for the kernel.

use std::{
    io,
    ptr::{self, NonNull},
};

/// The largest page of any architecture in bytes. Memory with different protection never shares a
/// page.
const PAGE: usize = 64 * 1024;

/// Page-aligned memory that is mapped until the process ends.
///
/// It is only read and written by copying through raw pointers, never borrowed as a slice. The
/// kernel may write to it at the same time. A copy is then any mixture of old and new bytes, as
/// with a file that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
    /// Whether inaccessible memory follows, so that an access behind the end faults.
    guarded: bool,
}

// SAFETY: `Memory` is a range of bytes that stays mapped and belongs to no thread. All accesses
// copy.
unsafe impl Send for Memory {}
// SAFETY: the range stays mapped. Threads access single bytes with volatile reads and writes, so a
// copy at the same time gets a mixture of bytes.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps this many zero bytes, from the start of a page.
    pub(crate) fn zeroed(length: usize) -> io::Result<Self> {
        assert_ne!(length, 0, "memory has at least one byte");
        // SAFETY: an anonymous mapping at an address that the kernel chooses changes no memory in
        // use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel chooses no address 0");
        Ok(Self {
            start,
            length,
            guarded: false,
        })
    }

    /// Maps a copy of some bytes, from the start of a page.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let memory = Self::zeroed(bytes.len())?;
        memory.write(bytes);
        Ok(memory)
    }

    /// Maps this many zero bytes. Every access behind them faults. The start is aligned as `length`
    /// is.
    pub(crate) fn guarded(length: usize) -> io::Result<Self> {
        let pages = length.next_multiple_of(PAGE);
        let whole = Self::zeroed(pages + PAGE)?;
        whole.part(pages, PAGE).protect(libc::PROT_NONE)?;
        Ok(Self {
            guarded: true,
            ..whole.part(pages - length, length)
        })
    }

    /// Maps memory on which every access faults.
    pub(crate) fn inaccessible() -> io::Result<Self> {
        Self::inaccessible_of(PAGE)
    }

    /// Maps this many bytes on which every access faults.
    pub(crate) fn inaccessible_of(length: usize) -> io::Result<Self> {
        let memory = Self {
            guarded: true,
            ..Self::zeroed(length)?
        };
        memory.protect(libc::PROT_NONE)?;
        Ok(memory)
    }

    /// Forbids writes. The memory must start on a page, and nothing else may be on its pages.
    pub(crate) fn make_read_only(self) -> io::Result<()> {
        self.protect(libc::PROT_READ)
    }

    fn protect(self, protection: libc::c_int) -> io::Result<()> {
        // SAFETY: the range lies within a mapping of our own, rounded up to whole pages of it. Rust
        // has no reference into it, so only an access through `Memory` can fault.
        match unsafe { libc::mprotect(self.start.as_ptr().cast(), self.length, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A part of the memory.
    pub(crate) fn part(self, offset: usize, length: usize) -> Self {
        let end = offset
            .checked_add(length)
            .expect("the part's end doesn't overflow");
        assert!(end <= self.length, "the part lies within the memory");
        // SAFETY: the assertion says that `offset` is within the mapping or one past its end.
        let start = unsafe { self.start.add(offset) };
        Self {
            start,
            length,
            guarded: self.guarded && end == self.length,
        }
    }

    /// The address. Its provenance is exposed, because the kernel writes there.
    pub(crate) fn as_ptr(self) -> *mut u8 {
        let _ = self.start.as_ptr().expose_provenance();
        self.start.as_ptr()
    }

    /// The length in bytes.
    pub(crate) fn len(self) -> usize {
        self.length
    }

    /// Whether the kernel can use the memory as `length` bytes: it has them, or an access behind
    /// its end faults. The kernel goes through a buffer from its start, so it meets the fault
    /// before any memory behind it.
    pub(crate) fn takes(self, length: usize) -> bool {
        length <= self.length || self.guarded
    }

    /// Overwrites the first bytes.
    pub(crate) fn write(self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length, "the bytes fit");
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the assertion says that `index` is within the mapping, which is never
            // unmapped.
            let byte_at = unsafe { self.start.add(index) };
            // SAFETY: the pointer is within the mapping, which is never unmapped. A byte has no
            // alignment, and nobody has a reference to it.
            unsafe { byte_at.write_volatile(*byte) };
        }
    }

    /// A copy of the bytes.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        (0..self.length)
            .map(|index| {
                // SAFETY: `index` is less than the mapping's length, and the mapping is never
                // unmapped.
                let byte_at = unsafe { self.start.add(index) };
                // SAFETY: the pointer is within the mapping, which is never unmapped. Anonymous
                // mappings are initialised, and any bits are a byte.
                unsafe { byte_at.read_volatile() }
            })
            .collect()
    }
}
