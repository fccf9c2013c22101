//! `aio_fsync` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{fs::File, io::Read, os::fd::AsRawFd};

use program::{Request, Scratch, aio_cancel, aio_fsync, catch, direct_file, fill, signal, until};

const OPS: [i32; 2] = [libc::O_SYNC, libc::O_DSYNC];

/// A FIFO, which can be read and written by one descriptor, and can't be synced.
fn fifo(scratch: &Scratch) -> File {
    let path = scratch.path("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    scratch.open("fifo", 0)
}

/// A request of which only the descriptor matters.
fn sync(file: &File) -> Request {
    Request::read(file, 0, 0)
}

#[test]
fn it_waits_for_the_writes_before_it() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for op in OPS.repeat(10) {
        let writes: Vec<_> = (0..8)
            .map(|n| Request::write(&file, vec![1; 1 << 16], n << 16).submitted())
            .collect();
        let sync = sync(&file);
        assert_eq!(aio_fsync(op, sync.at()), Ok(0));
        assert_eq!(sync.result(), Ok(0));
        assert!(writes.iter().all(|write| write.status() == 0));
    }
}

#[test]
fn it_waits_for_direct_writes() {
    let Some(file) = direct_file(&[]) else {
        return;
    };
    let memory = program::Pages::new(1);
    for op in OPS.repeat(5) {
        let writes: Vec<_> = (0..16)
            .map(|n| {
                let write = Request::write(&file, b"", n * 4096).with(|block| {
                    block.aio_buf = memory.at(0);
                    block.aio_nbytes = 4096;
                });
                write.submitted()
            })
            .collect();
        let sync = sync(&file);
        assert_eq!(aio_fsync(op, sync.at()), Ok(0));
        assert_eq!(sync.result(), Ok(0));
        for write in writes {
            assert_eq!(write.status(), 0);
            assert_eq!(write.result(), Ok(4096));
        }
    }
}

#[test]
fn it_is_in_progress_while_a_write_before_it_is() {
    let scratch = Scratch::new();
    let mut fifo = fifo(&scratch);
    let other = fifo.try_clone().unwrap();
    let len = fill(&fifo, &[0; 4096]) * 4096;
    let write = Request::write(&other, vec![1; 4096], 0).submitted();
    let sync = sync(&fifo);
    assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
    let later = Request::write(&fifo, vec![2; 1 << 20], 0).submitted();
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(sync.status(), libc::EINPROGRESS);
    fifo.read_exact(&mut vec![0; len]).unwrap();
    assert_eq!(write.result(), Ok(4096));
    // The later write isn't waited for. The file can't be synced, which is found now.
    assert_eq!(sync.result(), Err(libc::EINVAL));
    assert_eq!(later.status(), libc::EINPROGRESS);
    // It writes into the pipe as long as that has room, and then waits again.
    fifo.read_exact(&mut vec![0; 4096]).unwrap();
    until("the later write is cancelled or over", || {
        let _ = aio_cancel(later.fd(), later.at());
        // Without data it would block: the write may be over, and all of it read.
        if rustix::io::ioctl_fionread(&fifo).unwrap() > 0 {
            let _ = fifo.read(&mut [0; 4096]);
        }
        later.is_over()
    });
}

#[test]
fn another_op_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for op in [0, -1, libc::O_APPEND, libc::O_SYNC | libc::O_APPEND, 77] {
        assert_eq!(
            aio_fsync(op, sync(&file).at()),
            Err(libc::EINVAL),
            "{op:#x}"
        );
    }
}

#[test]
fn the_file_has_to_be_open_for_writing() {
    let scratch = Scratch::new();
    drop(scratch.file("file", b""));
    let read_only = File::open(scratch.path("file")).unwrap();
    for op in OPS {
        let of = |fd| {
            let sync = sync(&read_only).with(|block| block.aio_fildes = fd);
            aio_fsync(op, sync.at())
        };
        for fd in [read_only.as_raw_fd(), -1, i32::MIN, i32::MAX] {
            assert_eq!(of(fd), Err(libc::EBADF), "{fd}");
        }
    }
}

#[test]
fn what_is_not_for_syncs_means_nothing() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for op in OPS {
        let sync = sync(&file).with(|block| {
            block.aio_buf = std::ptr::without_provenance_mut(8);
            block.aio_nbytes = usize::MAX;
            block.aio_offset = -1;
            block.aio_reqprio = -1;
            block.aio_lio_opcode = 77;
        });
        assert_eq!(aio_fsync(op, sync.at()), Ok(0));
        assert_eq!(sync.result(), Ok(0));
    }
}

#[test]
fn it_tells_the_program() {
    let (signo, caught) = catch(1, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    let sync = sync(&file).notify(signal(signo, 5));
    assert_eq!(aio_fsync(libc::O_DSYNC, sync.at()), Ok(0));
    until("the signal comes", || caught.count() == 1);
    assert_eq!((caught.code(), caught.value()), (libc::SI_ASYNCIO, 5));
    assert_eq!(sync.status(), 0);
}

#[test]
fn a_sync_that_waits_can_be_cancelled() {
    let scratch = Scratch::new();
    let fifo = fifo(&scratch);
    fill(&fifo, &[0; 4096]);
    let write = Request::write(&fifo, vec![1; 4096], 0).submitted();
    let sync = sync(&fifo);
    assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
    assert_eq!(
        aio_cancel(fifo.as_raw_fd(), sync.at()),
        Ok(libc::AIO_CANCELED)
    );
    assert_eq!(sync.result(), Err(libc::ECANCELED));
    assert_eq!(write.status(), libc::EINPROGRESS);
}

/// Appends are carried out one after the other, so the bad one waits for the long one. On a quick
/// machine both may be over before the sync is there. So one round in many is enough.
#[test]
fn it_fails_with_a_write_before_it() {
    let scratch = Scratch::new();
    let file = scratch.open("log", libc::O_APPEND);
    let fails = || {
        let long = Request::write(&file, vec![1; 4 << 20], 0).submitted();
        let bad = Request::write(&file, b"x", 0);
        let nowhere = std::ptr::without_provenance_mut(8);
        let bad = bad.with(|block| block.aio_buf = nowhere).submitted();
        let sync = sync(&file);
        assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
        let was_before = !bad.is_over();
        let result = sync.result();
        assert_eq!(bad.result(), Err(libc::EFAULT));
        assert_eq!(long.result(), Ok(4 << 20));
        file.set_len(0).unwrap();
        was_before && {
            assert_eq!(result, Err(libc::EFAULT));
            true
        }
    };
    assert!((0..50).any(|_| fails()));
}

#[test]
fn a_write_that_is_cancelled_lets_it_go_on() {
    let scratch = Scratch::new();
    let fifo = fifo(&scratch);
    fill(&fifo, &[0; 4096]);
    let write = Request::write(&fifo, vec![1; 4096], 0).submitted();
    let sync = sync(&fifo);
    assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
    until("the write is cancelled", || {
        aio_cancel(fifo.as_raw_fd(), write.at()) == Ok(libc::AIO_CANCELED)
    });
    // Its own errno: a FIFO can't be synced.
    assert_eq!(sync.result(), Err(libc::EINVAL));
}
