//! Finding out that the process was forked.
//!
//! A child can't use the parent's context. Up to Linux 7.0 it sees the parent's ring and could
//! disturb it, and from 7.1 touching the ring is a SIGSEGV. So a queue remembers the process that
//! made it.
//!
//! `getpid` would be a system call each time. Instead, a page is marked with `MADV_WIPEONFORK`
//! (since Linux 4.14): the kernel hands it to a child filled with zeros. The page holds a number
//! that stands for the process. This also notices forks that bypass the C library.

#![allow(unsafe_code, reason = "maps a page")]

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// The identity of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// The number in the page, or the process id without a page.
    number: u32,
    /// The page with the number of the current process.
    page: Option<&'static AtomicU32>,
}

/// The page. `None` if the kernel can't wipe it: then the process id is used.
static PAGE: LazyLock<Option<&'static AtomicU32>> = LazyLock::new(wiped_page);

/// The next number. A child inherits this, so its number differs from those of all its ancestors.
static NEXT: AtomicU32 = AtomicU32::new(1);

impl Process {
    /// The current process.
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

    /// Whether this is the current process.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        match self.page {
            Some(page) => page.load(Relaxed) == self.number,
            None => self.has_this_id(),
        }
    }

    /// Whether this process has the number, which is an id.
    #[cold]
    fn has_this_id(&self) -> bool {
        std::process::id() == self.number
    }
}

fn wiped_page() -> Option<&'static AtomicU32> {
    if cfg!(miri) {
        // Miri knows no `madvise`.
        return None;
    }
    // SAFETY: `sysconf` touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let size = usize::try_from(size).ok()?;
    // SAFETY: the kernel chooses an address at which nothing is mapped, so the call changes no
    // memory that is in use.
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
    // SAFETY: the page was mapped just now, and nothing refers to it.
    if unsafe { libc::madvise(page, size, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: the page was mapped just now, and nothing refers to it.
        unsafe { libc::munmap(page, size) };
        return None;
    }
    // SAFETY: a page is aligned for an `AtomicU32`, and anonymous memory is zero. This page is
    // never unmapped, and is used as this atomic only.
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
        // SAFETY: the child only loads and stores atomics, and exits without returning. So it takes
        // no lock that another thread may hold.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let forked = !parent.is_current();
            let own = Process::current();
            let code = i32::from(!(forked && own.is_current() && own.number != parent.number));
            // SAFETY: `_exit` touches no memory of ours.
            unsafe { libc::_exit(code) };
        }
        let mut status = -1;
        // SAFETY: `status` is writable during the call.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
        assert!(parent.is_current());
    }
}
