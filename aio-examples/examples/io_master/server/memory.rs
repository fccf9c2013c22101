//! A client's memory, and parts of it as buffers.
//!
//! The server maps the memory, because native AIO takes addresses. Only the kernel accesses the
//! bytes, on behalf of the server's requests. So no change that the client makes can confuse the
//! server or cost it a signal. If the kernel finds that it can't access a page, the request fails
//! with EFAULT.

#![allow(unsafe_code, reason = "IoBuf and IoBufMut are promises about memory")]

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use aio_safe::buf::{IoBuf, IoBufMut};
use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    fs::{SealFlags, fcntl_get_seals, fstat},
    io::Errno,
};

use super::files::Refusal;

/// A client's memory, mapped.
#[derive(Debug)]
pub(crate) struct Memory(MmapRaw);

impl Memory {
    /// Maps the memory that a client has passed along.
    pub(crate) fn map(memory: &OwnedFd, most: usize) -> Result<Self, Refusal> {
        let refuse = |text: String| Err(Refusal::new(Errno::INVAL, text));
        // Only memfds and the like have seals.
        let Ok(seals) = fcntl_get_seals(memory) else {
            return refuse("the memory isn't a memfd: make it with memfd_create".to_owned());
        };
        if !seals.contains(SealFlags::SHRINK) {
            let text =
                "the memory isn't sealed against shrinking: use F_ADD_SEALS with F_SEAL_SHRINK";
            return refuse(text.to_owned());
        }
        // From here on it can grow, but not shrink.
        let size = fstat(memory)
            .map_err(Refusal::failed("the memory's size"))?
            .st_size;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 || size > most {
            return refuse(format!(
                "the memory has {size} bytes, and 1 to {most} are allowed"
            ));
        }
        match MmapOptions::new().len(size).map_raw(memory.as_raw_fd()) {
            Ok(mapping) => Ok(Self(mapping)),
            Err(error) => refuse(format!(
                "the memory can't be mapped for reading and writing: {error}"
            )),
        }
    }

    /// The part from an offset on. None if it isn't all in the memory.
    pub(crate) fn part(self: &Arc<Self>, offset: u64, length: u32) -> Option<Part> {
        let offset = usize::try_from(offset).ok()?;
        let length = length as usize;
        let end = offset.checked_add(length)?;
        (end <= self.0.len()).then(|| Part {
            memory: Arc::clone(self),
            offset,
            length,
        })
    }
}

/// A part of a client's memory. It keeps the memory mapped.
#[derive(Debug)]
pub(crate) struct Part {
    memory: Arc<Memory>,
    offset: usize,
    length: usize,
}

impl Part {
    pub(crate) fn into_memory(self) -> Arc<Memory> {
        self.memory
    }

    fn start(&self) -> *mut u8 {
        // `part` has checked that the offset is within the mapping.
        self.memory.0.as_mut_ptr().wrapping_add(self.offset)
    }
}

// SAFETY: the address and the length never change: the mapping stays where it is until it is
// dropped, and `self` has an `Arc` of it. `Memory::part` has checked that the bytes lie within the
// mapping, which is readable and writable, and which no other code unmaps. The bytes of a file are
// always initialised.
//
// That nobody else accesses the bytes holds for this process: `Memory` gives no reference or
// pointer to them, except through this trait to the kernel. So no access of this program can race
// with the kernel's. The client's processes, and requests of the same client whose parts overlap,
// change what the kernel finds there. That is between the client and the kernel, as with a file
// that two programs write to. aio-safe doesn't read the bytes, and neither does this program.
unsafe impl IoBuf for Part {
    fn io_ptr(&self) -> *const u8 {
        self.start()
    }

    fn io_len(&self) -> usize {
        self.length
    }
}

// SAFETY: the mapping is writable, and target and source are the same bytes, of a length that
// never changes. What the impl above says of other accesses holds for writing too: no code of this
// process has another path to the bytes. `set_init` has nothing to do, because all bytes are
// initialised.
unsafe impl IoBufMut for Part {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.start()
    }

    fn io_capacity(&self) -> usize {
        self.length
    }

    unsafe fn set_init(&mut self, _len: usize) {}

    fn is_always_init() -> bool {
        true
    }
}
