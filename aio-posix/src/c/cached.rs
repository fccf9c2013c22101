//! Reads that are over within the call, because their data is in the page cache.
//!
//! The queue would do the same, but the thread that reaps has to tell of it. Waking that takes
//! longer than the read.

#![allow(unsafe_code, reason = "makes a system call on a program's memory")]

use std::ffi::{c_int, c_long};

use super::{block::Aiocb, errno};
use crate::fd::flags_of;

/// Copying this much takes some microseconds.
const SHORT: usize = 64 << 10;

/// Reads what a control block asks for if all of it is in the page cache. Doesn't block. If it
/// isn't all there, some of the buffer may have been written.
///
/// # Safety
///
/// Nobody uses the buffer during the call. If nothing is there, that is no error.
pub(super) unsafe fn read(block: &Aiocb) -> Option<usize> {
    let len = block.aio_nbytes;
    if len == 0 || len > SHORT || block.aio_offset < 0 {
        return None;
    }
    errno::keep(|| {
        // With O_DIRECT the call would wait for the device.
        let flags = flags_of(block.aio_fildes).ok()?;
        if flags & libc::O_DIRECT != 0 {
            return None;
        }
        let buffer = libc::iovec {
            iov_base: block.aio_buf,
            iov_len: len,
        };
        let (fd, number): (_, c_int) = (block.aio_fildes, 1);
        // In two halves of the kernel's own word: with words of 64 bits it ignores the other.
        let (low, high): (c_long, c_long) = (block.aio_offset, 0);
        let (call, flags) = (libc::SYS_preadv2, libc::RWF_NOWAIT);
        // SAFETY: `buffer` is readable. Nobody uses the memory that it names, which the caller
        // promises. The kernel answers EFAULT if nothing is there.
        let n = unsafe { libc::syscall(call, fd, &raw const buffer, number, low, high, flags) };
        usize::try_from(n).ok().filter(|&n| n == len)
    })
}
