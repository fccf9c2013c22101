//! Counts what a program does, to show that it uses this library.
//!
//! If the environment variable `AIO_LIBAIO_COUNTERS` is set, the C libraries write the counts to
//! standard error when the program calls `exit` or returns from `main`. Otherwise they count
//! nothing. As Rust library, the crate counts nothing either.

use core::{
    ffi::c_int,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

static WANTED: AtomicBool = AtomicBool::new(false);

static CONTEXTS: AtomicU64 = AtomicU64::new(0);
static SUBMISSIONS: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// An `io_setup` that returned this.
pub(crate) fn setup(result: c_int) -> c_int {
    if result == 0 && WANTED.load(Relaxed) {
        CONTEXTS.fetch_add(1, Relaxed);
    }
    result
}

/// An `io_submit` that returned this.
pub(crate) fn submit(result: c_int) -> c_int {
    call(&SUBMISSIONS, &REQUESTS, result)
}

/// An `io_getevents` or `io_pgetevents` that returned this.
pub(crate) fn wait(result: c_int) -> c_int {
    call(&WAITS, &EVENTS, result)
}

fn call(calls: &AtomicU64, successes: &AtomicU64, result: c_int) -> c_int {
    if WANTED.load(Relaxed) {
        calls.fetch_add(1, Relaxed);
        successes.fetch_add(result.max(0) as u64, Relaxed);
    }
    result
}

#[cfg(aio_libaio)]
mod at_exit {
    #![allow(
        unsafe_code,
        reason = "runs when the library is loaded and when the program ends"
    )]

    use super::{CONTEXTS, EVENTS, REQUESTS, Relaxed, SUBMISSIONS, WAITS, WANTED};

    // SAFETY: the dynamic linker, or the C library's start, calls the function once. It needs no
    // argument, so it may have any that are passed.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static START: extern "C" fn() = start;

    // SAFETY: the C library calls the function once, in `exit`.
    #[used]
    #[unsafe(link_section = ".fini_array")]
    static END: extern "C" fn() = end;

    extern "C" fn start() {
        // SAFETY: the name ends with a zero. No other thread runs yet that could change the
        // environment, unless the library is loaded by `dlopen`: a program may not change the
        // environment then.
        let value = unsafe { libc::getenv(c"AIO_LIBAIO_COUNTERS".as_ptr()) };
        WANTED.store(!value.is_null(), Relaxed);
    }

    extern "C" fn end() {
        if !WANTED.load(Relaxed) {
            return;
        }
        let [contexts, submissions, requests, waits, events] =
            [&CONTEXTS, &SUBMISSIONS, &REQUESTS, &WAITS, &EVENTS].map(|count| count.load(Relaxed));
        let format = c"aio-libaio: %llu contexts; %llu io_submit, %llu requests; \
                       %llu io_getevents, %llu events\n";
        let mut line = [0_u8; 256];
        // SAFETY: the format ends with a zero and names five numbers of 64 bits. The buffer has the
        // length that the function is told, which is more than five such numbers and the words
        // take.
        let length = unsafe {
            libc::snprintf(
                line.as_mut_ptr().cast(),
                line.len(),
                format.as_ptr(),
                contexts,
                submissions,
                requests,
                waits,
                events,
            )
        };
        // SAFETY: the buffer is readable up to this length.
        unsafe {
            libc::write(
                libc::STDERR_FILENO,
                line.as_ptr().cast(),
                length.max(0) as usize,
            )
        };
    }
}
