//! What the tests of the C functions share.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unsafe_code, reason = "calls C functions")]

mod calls;
mod children;
mod files;
mod pages;
mod request;
mod signals;

use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "as above")]
pub(crate) use self::{
    calls::{
        Answer, aio_cancel, aio_error, aio_fsync, aio_init, aio_read, aio_return, aio_suspend,
        aio_suspend_at, aio_write, errno, lio_listio, set_errno,
    },
    children::{alone, exit, in_child},
    files::{Scratch, direct_file, fill, pattern, pipe},
    pages::{PAGE, Pages},
    request::{Request, blocks},
    signals::{Caught, catch, event, kill, my_thread, signal},
};

/// Longer than a busy machine takes for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is true.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A time limit for a C function.
pub(crate) fn time(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    }
}
