//! The C face: blocks that are used again in the moment in which their requests are over.

#![allow(unsafe_code, reason = "is a C program")]
#![cfg(target_pointer_width = "64")]

mod common;

use std::{
    cell::UnsafeCell,
    io::Write,
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_posix::c::{
    Aiocb, aio_cancel, aio_error, aio_fsync, aio_read, aio_return, aio_suspend, aio_write,
};
use common::{PATIENCE, pipe};

struct Shared(UnsafeCell<Aiocb>);

// SAFETY: one thread writes it, while no request with it is in flight. Others give its address to
// functions.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Self {
        Self(UnsafeCell::new(Aiocb::new()))
    }

    fn at(&self) -> *mut Aiocb {
        self.0.get()
    }

    fn error(&self) -> i32 {
        // SAFETY: it is a block.
        unsafe { aio_error(self.at()) }
    }
}

fn last_error() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[test]
fn a_block_that_is_used_again_at_once_is_always_known() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[5; 64]).unwrap();
    let block = Shared::new();
    let mut buffer = [0_u8; 64];
    // SAFETY: no request with it is in flight.
    let aiocb = unsafe { &mut *block.at() };
    aiocb.aio_fildes = file.as_raw_fd();
    aiocb.aio_buf = buffer.as_mut_ptr().cast();
    aiocb.aio_nbytes = buffer.len();
    let stop = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    thread::scope(|scope| {
        let asks = || {
            while !stop.load(Relaxed) {
                let status = block.error();
                assert!(
                    matches!(status, 0 | libc::EINPROGRESS | libc::ECANCELED),
                    "{status}"
                );
            }
        };
        let suspends = || {
            let timeout = libc::timespec {
                tv_sec: PATIENCE.as_secs() as i64,
                tv_nsec: 0,
            };
            while !stop.load(Relaxed) {
                let list: *const Aiocb = block.at();
                // SAFETY: it is a list of one block.
                let answer = unsafe { aio_suspend(&raw const list, 1, &raw const timeout) };
                assert_eq!(answer, 0, "{}", last_error());
            }
        };
        let cancels = || {
            while !stop.load(Relaxed) {
                // SAFETY: it is a block of this file.
                let answer = unsafe { aio_cancel(file.as_raw_fd(), block.at()) };
                assert!((0..3).contains(&answer), "{answer} {}", last_error());
                thread::sleep(Duration::from_micros(50));
            }
        };
        scope.spawn(asks);
        scope.spawn(asks);
        scope.spawn(suspends);
        scope.spawn(cancels);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            let at = block.at();
            let answer = match rounds.fetch_add(1, Relaxed) % 3 {
                // SAFETY: the buffer is left alone until the request is over.
                0 => unsafe { aio_write(at) },
                // SAFETY: the buffer is left alone until the request is over.
                1 => unsafe { aio_read(at) },
                // SAFETY: the buffer is left alone until the request is over.
                _ => unsafe { aio_fsync(libc::O_DSYNC, at) },
            };
            assert_eq!(answer, 0, "{}", last_error());
            while block.error() == libc::EINPROGRESS {
                assert!(started.elapsed() < PATIENCE);
                std::hint::spin_loop();
            }
            // SAFETY: it is a block whose request is over.
            let value = unsafe { aio_return(block.at()) };
            assert!(matches!(value, -1 | 0 | 64), "{value}");
        }
        stop.store(true, SeqCst);
    });
    assert!(rounds.into_inner() > 100);
}

#[test]
fn syncs_end_whatever_becomes_of_the_writes_before_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("file")).unwrap();
    let (_reader, writer) = pipe();
    let bytes = vec![1_u8; 1 << 20];
    for round in 0..200 {
        let blocks: Vec<_> = (0..8).map(|_| Shared::new()).collect();
        for (n, block) in blocks.iter().enumerate() {
            // SAFETY: no request with it is in flight.
            let aiocb = unsafe { &mut *block.at() };
            // The second one blocks until it is cancelled, the third one is refused or fails.
            aiocb.aio_fildes = match n {
                1 => writer.as_raw_fd(),
                2 => -1,
                _ => file.as_raw_fd(),
            };
            aiocb.aio_buf = bytes.as_ptr().cast_mut().cast();
            aiocb.aio_nbytes = if n == 3 {
                usize::MAX >> 1
            } else {
                bytes.len() >> (round % 8)
            };
            // SAFETY: the buffer isn't changed by a write.
            unsafe { aio_write(block.at()) };
        }
        let syncs = [Shared::new(), Shared::new()];
        for (sync, fd) in syncs.iter().zip([file.as_raw_fd(), writer.as_raw_fd()]) {
            // SAFETY: no request with it is in flight.
            unsafe { (*sync.at()).aio_fildes = fd };
            // SAFETY: the block is left alone until the request is over.
            assert_eq!(unsafe { aio_fsync(libc::O_SYNC, sync.at()) }, 0);
        }
        let started = Instant::now();
        for fd in [file.as_raw_fd(), writer.as_raw_fd()] {
            if round % 2 == 0 || fd == writer.as_raw_fd() {
                // SAFETY: there is no block.
                while unsafe { aio_cancel(fd, ptr::null_mut()) } == libc::AIO_NOTCANCELED {
                    assert!(started.elapsed() < PATIENCE);
                }
            }
        }
        for block in blocks.iter().chain(&syncs) {
            while block.error() == libc::EINPROGRESS {
                assert!(started.elapsed() < PATIENCE, "round {round}");
                thread::yield_now();
            }
        }
    }
}
