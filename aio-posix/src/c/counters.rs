//! Counts what a program does, to show that it uses this library.
//!
//! If the environment variable `AIO_POSIX_COUNTERS` is set, the counts are written to standard
//! error when a program that has submitted something calls `exit` or returns from `main`.

#![allow(unsafe_code, reason = "runs when the program ends")]

use std::{
    io::Write,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Whether anybody wants to know.
static WANTED: AtomicBool = AtomicBool::new(false);

/// What is counted.
#[derive(Clone, Copy)]
pub(super) enum Count {
    Reads,
    Writes,
    Syncs,
    Lists,
    Suspends,
    Cancels,
}

const NAMES: [&str; 6] = [
    "reads",
    "writes",
    "syncs",
    "lists",
    "aio_suspend",
    "aio_cancel",
];

static COUNTS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// Counts one.
pub(super) fn count(what: Count) {
    if WANTED.load(Relaxed) {
        COUNTS[what as usize].fetch_add(1, Relaxed);
    }
}

/// Tells the counts when the program ends, if that is wanted.
pub(super) fn tell_at_exit() {
    if std::env::var_os("AIO_POSIX_COUNTERS").is_some() {
        WANTED.store(true, Relaxed);
        // SAFETY: the function may be called when the program ends, in whichever thread.
        unsafe { libc::atexit(tell) };
    }
}

extern "C" fn tell() {
    let counts = NAMES.iter().zip(&COUNTS);
    let counts: Vec<_> = counts
        .map(|(name, count)| format!("{} {name}", count.load(Relaxed)))
        .collect();
    // Nobody is left who could be told of an error.
    let _ = writeln!(std::io::stderr(), "aio-posix: {}", counts.join(", "));
}
