//! Memory that a C program names: whether it is there, and buffers in it.

#![allow(
    unsafe_code,
    reason = "asks the kernel about addresses that programs name"
)]

use std::ffi::{c_int, c_void};

use aio_safe::{
    Errno,
    buf::{IoBuf, IoBufMut},
};

use super::errno;
use crate::fd::last_errno;

/// How many bytes the kernel looks at.
const LOOKED_AT: usize = size_of::<libc::epoll_event>();
/// The smallest page there is.
pub(super) const PAGE: usize = 4096;

/// Whether this process can read so many bytes at an address. Async-signal-safe, and leaves `errno`
/// alone.
pub(super) fn is_readable<T>(address: *const T, len: usize) -> bool {
    let start = address.addr();
    let Some(last) = start.checked_add(len.saturating_sub(1)) else {
        return false;
    };
    // A look that would go beyond the end goes back instead. If it begins before the start then,
    // it does so in the page of the start.
    let end = last.saturating_sub(LOOKED_AT - 1);
    let crosses = start % PAGE > PAGE - LOOKED_AT;
    let first = if crosses { start.min(end) } else { start };
    // One look into each page.
    let pages = (start / PAGE + 1..=last / PAGE).map(|page| (page * PAGE).min(end));
    errno::keep(|| {
        std::iter::once(first)
            .chain(pages)
            .all(|look| can_copy(address.with_addr(look).cast()))
    })
}

/// Whether the kernel can copy from an address. It copies an event before it finds that there is no
/// epoll instance.
fn can_copy(address: *const c_void) -> bool {
    let no_instance: c_int = -1;
    let no_file: c_int = -1;
    let add = libc::EPOLL_CTL_ADD;
    // SAFETY: the kernel reads the memory, or answers EFAULT.
    let answer = unsafe { libc::syscall(libc::SYS_epoll_ctl, no_instance, add, no_file, address) };
    answer == 0 || last_errno() != Errno::EFAULT
}

/// Whether this process can write the 8 bytes at an address, which are changed by this.
pub(super) fn is_writable(address: *mut u64) -> bool {
    let none = std::ptr::null::<u64>();
    errno::keep(|| {
        // SAFETY: the kernel writes this thread's signal mask there, or answers EFAULT.
        let answer = unsafe {
            let (block, size) = (libc::SIG_BLOCK, size_of::<u64>());
            libc::syscall(libc::SYS_rt_sigprocmask, block, none, address, size)
        };
        answer == 0 || last_errno() != Errno::EFAULT
    })
}

/// Reads a value that may not be there. Async-signal-safe.
///
/// # Safety
///
/// All bits are a value of the type, and nobody writes it meanwhile if it is there.
pub(super) unsafe fn read<T: Copy>(address: *const T) -> Option<T> {
    if !address.is_aligned() || !is_readable(address, size_of::<T>()) {
        return None;
    }
    // SAFETY: it is aligned and readable, and all bits are a value: the caller promises the latter.
    Some(unsafe { address.read() })
}

/// A buffer of a C program.
pub(super) struct Foreign {
    start: *mut u8,
    len: usize,
}

impl Foreign {
    /// # Safety
    ///
    /// Nobody uses the memory in a way that its transfer doesn't allow, as long as this value
    /// lives. Nothing need be there: the kernel answers EFAULT.
    pub(super) unsafe fn new(start: *mut c_void, len: usize) -> Self {
        Self {
            start: start.cast(),
            len,
        }
    }
}

// SAFETY: it is an address, and whoever made it promises how the memory is used.
unsafe impl Send for Foreign {}

// SAFETY: the answers never change. Only the kernel uses the memory, on behalf of the program,
// which promises that the transfer may use it. The queue itself never touches a buffer's bytes.
unsafe impl IoBuf for Foreign {
    fn io_ptr(&self) -> *const u8 {
        self.start
    }

    fn io_len(&self) -> usize {
        self.len
    }
}

// SAFETY: as for `IoBuf`. The memory is C's, where all bytes count as initialised.
unsafe impl IoBufMut for Foreign {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.start
    }

    fn io_capacity(&self) -> usize {
        self.len
    }

    unsafe fn set_init(&mut self, _: usize) {}

    fn is_always_init() -> bool {
        true
    }
}

/// Reads a `timespec` that may not be there. Async-signal-safe.
pub(super) fn timespec(address: *const libc::timespec) -> Option<libc::timespec> {
    // SAFETY: all bits are a value of the type. The program doesn't write it meanwhile.
    unsafe { read(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_size() -> usize {
        // SAFETY: the function takes any number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap()
    }

    /// Pages of which the second one can't be read.
    const PAGES: usize = 3 * PAGE;

    #[test]
    fn what_is_asked_for_is_looked_at_and_no_page_besides() {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // A page may be larger than the smallest one.
        let scale = page_size() / PAGE;
        // SAFETY: asks for new memory.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGES * scale, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let start = start.cast::<u8>();
        let hole = PAGE * scale..2 * PAGE * scale;
        // SAFETY: the memory is this test's.
        let done = unsafe {
            libc::mprotect(
                start.wrapping_add(hole.start).cast(),
                PAGE * scale,
                libc::PROT_NONE,
            )
        };
        assert_eq!(done, 0);
        for edge in [hole.start, hole.end] {
            for from in edge - 64..edge + 64 {
                for len in 1..80 {
                    let expected = from + len <= hole.start || from >= hole.end;
                    let address = start.wrapping_add(from);
                    assert_eq!(is_readable(address, len), expected, "{from} {len}");
                }
            }
        }
        // SAFETY: the memory is this test's, which is over.
        unsafe { libc::munmap(start.cast(), PAGES * scale) };
    }
}
