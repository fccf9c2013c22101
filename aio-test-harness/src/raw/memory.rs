//! Buffers for the kernel.

use std::{
    io,
    ptr::{self, NonNull},
};

/// More than any page size there is; what is protected differently never shares a page.
const PAGE: usize = 64 * 1024;

/// Page-aligned memory that is there until the process ends.
///
/// It is only ever read and written by copying through raw pointers, never borrowed as a slice: the kernel may
/// be writing to it at the same time, and what is read then is any mixture of bytes, as with any file that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
    /// Inaccessible memory follows: whoever runs over the end faults.
    guarded: bool,
}

// SAFETY: `Memory` has no thread of its own; it is a plain range of bytes that stays mapped, and all access copies.
unsafe impl Send for Memory {}
// SAFETY: as above; two threads that copy at once get mixtures of bytes from volatile accesses of single bytes.
unsafe impl Sync for Memory {}

impl Memory {
    /// That many zero bytes, starting on a page.
    pub(crate) fn zeroed(length: usize) -> io::Result<Self> {
        assert_ne!(length, 0, "there is no memory of no bytes");
        // SAFETY: an anonymous mapping at an address of the kernel's choice changes no memory that is in use.
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
        let start =
            NonNull::new(start.cast()).expect("the kernel maps nothing at address 0 unasked");
        Ok(Self {
            start,
            length,
            guarded: false,
        })
    }

    /// A copy of some bytes, starting on a page.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let memory = Self::zeroed(bytes.len())?;
        memory.write(bytes);
        Ok(memory)
    }

    /// That many zero bytes, behind which every access faults. The start is aligned as `length` is.
    pub(crate) fn guarded(length: usize) -> io::Result<Self> {
        let pages = length.next_multiple_of(PAGE);
        let whole = Self::zeroed(pages + PAGE)?;
        whole.part(pages, PAGE).protect(libc::PROT_NONE)?;
        Ok(Self {
            guarded: true,
            ..whole.part(pages - length, length)
        })
    }

    /// Memory that every access faults on.
    pub(crate) fn inaccessible() -> io::Result<Self> {
        Self::inaccessible_of(PAGE)
    }

    /// That many bytes that every access faults on.
    pub(crate) fn inaccessible_of(length: usize) -> io::Result<Self> {
        let memory = Self {
            guarded: true,
            ..Self::zeroed(length)?
        };
        memory.protect(libc::PROT_NONE)?;
        Ok(memory)
    }

    /// Forbids writing to it. Only for memory that starts on a page and shares none.
    pub(crate) fn make_read_only(self) -> io::Result<()> {
        self.protect(libc::PROT_READ)
    }

    fn protect(self, protection: libc::c_int) -> io::Result<()> {
        // SAFETY: the range lies within a mapping of our own (and is rounded up to whole pages of it); Rust has no
        // reference into it, so that nothing but an access through `Memory` can notice.
        match unsafe { libc::mprotect(self.start.as_ptr().cast(), self.length, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A part of it.
    pub(crate) fn part(self, offset: usize, length: usize) -> Self {
        let end = offset.checked_add(length).expect("the part ends somewhere");
        assert!(end <= self.length, "the part lies within");
        // SAFETY: `offset` is within the mapping, as was just checked, or one past its end.
        let start = unsafe { self.start.add(offset) };
        Self {
            start,
            length,
            guarded: self.guarded && end == self.length,
        }
    }

    /// Its address. Its provenance is exposed: the kernel writes there.
    pub(crate) fn as_ptr(self) -> *mut u8 {
        let _ = self.start.as_ptr().expose_provenance();
        self.start.as_ptr()
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        self.length
    }

    /// Whether the kernel can be given it as `length` bytes: they are there, or running over the end faults. The
    /// kernel goes through a buffer from its start, so it meets the fault before anything behind it.
    pub(crate) fn takes(self, length: usize) -> bool {
        length <= self.length || self.guarded
    }

    /// Overwrites its beginning.
    pub(crate) fn write(self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length, "the bytes fit");
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: `index` is within the mapping, which was just checked, and the mapping is never undone.
            let byte_at = unsafe { self.start.add(index) };
            // SAFETY: as above; a byte has no alignment. Nobody holds a reference to it.
            unsafe { byte_at.write_volatile(*byte) };
        }
    }

    /// A copy of it.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        (0..self.length)
            .map(|index| {
                // SAFETY: `index` is within the mapping, which is never undone.
                let byte_at = unsafe { self.start.add(index) };
                // SAFETY: as above; anonymous mappings are initialised, and any bits are a byte.
                unsafe { byte_at.read_volatile() }
            })
            .collect()
    }
}
