//! The resources that the process has used so far.

#![allow(
    unsafe_code,
    reason = "getrusage; counts allocations as the global allocator"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    mem::MaybeUninit,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

/// The system's allocator, with a count of its calls.
struct Counting;

fn allocated(layout: Layout) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    BYTES.fetch_add(layout.size() as i64, Relaxed);
}

fn freed(layout: Layout) {
    BYTES.fetch_sub(layout.size() as i64, Relaxed);
}

// SAFETY: each method passes its arguments to the system's allocator, and returns what that
// returns. The counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout);
        // SAFETY: the caller promises that `layout` has a size that isn't 0.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout);
        // SAFETY: the caller promises that `layout` has a size that isn't 0.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        freed(layout);
        // The caller of `realloc` promises that there is a layout of the new size.
        allocated(Layout::from_size_align(size, layout.align()).unwrap_or(layout));
        // SAFETY: the caller promises that `start` was allocated here with `layout`, that `size`
        // isn't 0, and that it doesn't overflow when it is rounded up to the alignment.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        freed(layout);
        // SAFETY: the caller promises that `start` was allocated here with `layout`.
        unsafe { System.dealloc(start, layout) }
    }
}

/// Returns the bytes that are allocated now.
pub(crate) fn allocated_bytes() -> i64 {
    BYTES.load(Relaxed)
}

/// The time and the allocations that all threads of the process have used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) allocations: u64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `usage` has room for what getrusage stores.
        let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
        assert_eq!(answer, 0, "getrusage of this process doesn't fail");
        // SAFETY: all fields are numbers, for which zeros are valid, and getrusage has filled them
        // in.
        let usage = unsafe { usage.assume_init() };
        Self {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
            allocations: ALLOCATIONS.load(Relaxed),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted() {
        let (before, bytes) = (Usage::now().allocations, allocated_bytes());
        let many: Vec<_> = (0..1000_u32).map(Box::new).collect();
        // Other tests run at the same time.
        assert!(Usage::now().allocations - before >= 1001);
        assert!(allocated_bytes() - bytes >= 4000);
        drop(many);
    }

    #[test]
    fn time_that_is_used_is_counted() {
        let before = Usage::now();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(50) {}
        let after = Usage::now();
        let used = (after.user + after.system) - (before.user + before.system);
        assert!(used > Duration::from_millis(5), "{used:?}");
    }
}
