//! The alternatives: the engines of other projects.

mod aio_safe_tokio;
mod compio;
mod io_uring;
mod libaio;
#[cfg(linux_aio_tokio)]
mod linux_aio_tokio;
mod posix_aio;
mod pread;
mod preadv2;
mod tasks;
mod tokio_fs;

use super::{Kind, each_for_itself};
use crate::engine::native::Native;

/// A transfer's result as the kernel gave it: a count of bytes, or an errno times -1.
#[inline]
fn result(result: &std::io::Result<usize>) -> i64 {
    match result {
        Ok(n) => *n as i64,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// The engines that were built.
pub(super) const ALL: &[Kind] = &[
    Kind {
        name: "libaio",
        what: "the C library: one io_submit for all requests, io_getevents",
        start: |cell| {
            each_for_itself(cell, |work| {
                Native::new(libaio::Libaio::set_up(work.depth)?, work)
            })
        },
        spread: false,
    },
    Kind {
        name: "io-uring",
        what: "the crate io-uring: one io_uring_enter that submits all requests and waits",
        start: |cell| each_for_itself(cell, io_uring::Uring::new),
        spread: false,
    },
    Kind {
        name: "compio",
        what: "the runtime compio, on io_uring: a task for each operation in flight",
        start: |cell| each_for_itself(cell, compio::OnCompio::new),
        spread: false,
    },
    Kind {
        name: "aio-safe-tokio",
        what: "this stack under tokio, driven by its reactor: a task for each operation in flight",
        start: |cell| each_for_itself(cell, aio_safe_tokio::OnTokio::new),
        spread: false,
    },
    #[cfg(linux_aio_tokio)]
    Kind {
        name: "linux-aio-tokio",
        what: "the crate linux-aio-tokio: native AIO under tokio, a task for each operation",
        start: |cell| each_for_itself(cell, linux_aio_tokio::OnTokio::new),
        spread: false,
    },
    Kind {
        name: "tokio-fs",
        what: "tokio: a task for each operation, with spawn_blocking for pread or pwrite",
        start: |cell| each_for_itself(cell, tokio_fs::TokioFs::new),
        spread: false,
    },
    Kind {
        name: "thread-pool",
        what: "a thread with pread and pwrite for each operation in flight, at most 64",
        start: pread::start,
        spread: true,
    },
    Kind {
        name: "preadv2",
        what: "preadv2 in a loop, in one thread, whatever the depth is",
        start: |cell| each_for_itself(cell, preadv2::Preadv2::new),
        spread: false,
    },
    Kind {
        name: "posix-aio",
        what: "glibc's aio_read and aio_write on one descriptor, aio_suspend",
        start: |cell| each_for_itself(cell, posix_aio::PosixAio::on_one),
        spread: false,
    },
    Kind {
        name: "posix-aio-fds",
        what: "posix-aio with a descriptor for each operation: glibc does one at a time on each",
        start: |cell| each_for_itself(cell, posix_aio::PosixAio::on_many),
        spread: false,
    },
];
