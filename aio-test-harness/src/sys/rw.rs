//! `preadv2` and `pwritev2`: the synchronous calls with the flags of AIO, for comparison.

use std::{fs::File, io, os::fd::AsRawFd};

use crate::raw::Memory;

fn iovec(memory: Memory) -> libc::iovec {
    libc::iovec {
        iov_base: memory.as_ptr().cast(),
        iov_len: memory.len(),
    }
}

/// Reads at `offset` with `RWF_*` flags.
pub(crate) fn read_at(file: &File, memory: Memory, offset: i32, flags: i32) -> io::Result<usize> {
    let part = iovec(memory);
    // SAFETY: the array has one iovec. It names memory that is never unmapped, and to which nobody
    // has a reference.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset.into(), flags) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Writes at `offset` with `RWF_*` flags.
pub(crate) fn write_at(file: &File, memory: Memory, offset: i32, flags: i32) -> io::Result<usize> {
    let part = iovec(memory);
    // SAFETY: the array has one iovec. It names memory that is never unmapped, and to which nobody
    // has a reference.
    let written =
        unsafe { libc::pwritev2(file.as_raw_fd(), &raw const part, 1, offset.into(), flags) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}
