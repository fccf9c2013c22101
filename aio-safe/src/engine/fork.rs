//! Knowing that the process was forked.
//!
//! A context doesn't survive fork: up to Linux 7.0 the child sees the parent's live ring and could
//! disturb it, from 7.1 touching it is a SIGSEGV. So a queue remembers which process made it. Asking
//! for the process id is a system call; instead one page is marked to be wiped in the child
//! (`MADV_WIPEONFORK`, since Linux 4.14), which also notices forks that bypass the C library.

#![allow(unsafe_code, reason = "maps a page")]

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Which process something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    number: u32,
    /// Where the number of the process that this runs in is.
    page: Option<&'static AtomicU32>,
}

/// The page, or `None` where the kernel can't wipe it: then the process id is asked for.
static PAGE: LazyLock<Option<&'static AtomicU32>> = LazyLock::new(wiped_page);

/// Numbers the processes of a line of forks: a child goes on where its parent was.
static NEXT: AtomicU32 = AtomicU32::new(1);

impl Process {
    /// The process that this runs in.
    pub(crate) fn current() -> Self {
        let page = *PAGE;
        let Some(cell) = page else {
            return Self {
                number: std::process::id(),
                page,
            };
        };
        let mut number = cell.load(Relaxed);
        if number == 0 {
            let fresh = NEXT.fetch_add(1, Relaxed);
            number = match cell.compare_exchange(0, fresh, Relaxed, Relaxed) {
                Ok(_) => fresh,
                Err(theirs) => theirs,
            };
        }
        Self { number, page }
    }

    /// Whether this runs in that process.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        match self.page {
            Some(page) => page.load(Relaxed) == self.number,
            None => std::process::id() == self.number,
        }
    }
}

fn wiped_page() -> Option<&'static AtomicU32> {
    // SAFETY: sysconf only reads a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let size = usize::try_from(size).ok()?;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped just now and nobody else knows of it.
    if unsafe { libc::madvise(page, size, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above.
        unsafe { libc::munmap(page, size) };
        return None;
    }
    // SAFETY: the page is aligned, zeroed, never unmapped, and used as this atomic only.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_another_process() {
        let parent = Process::current();
        assert!(parent.is_current());
        assert_eq!(parent.number, Process::current().number);
        // SAFETY: the child only loads and stores atomics, and exits without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let forked = !parent.is_current();
            let own = Process::current();
            let code = i32::from(!(forked && own.is_current() && own.number != parent.number));
            // SAFETY: ends the child at once, running nothing of the test runner's.
            unsafe { libc::_exit(code) };
        }
        let mut status = -1;
        // SAFETY: `status` is a place for an int.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
        assert!(parent.is_current());
    }
}
