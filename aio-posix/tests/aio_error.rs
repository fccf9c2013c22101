//! `aio_error` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{fs::File, io::Write, os::fd::AsRawFd, thread};

use aio_posix::c::Aiocb;
use program::{
    PAGE, Pages, Request, Scratch, aio_cancel, aio_error, aio_fsync, aio_return, errno, pipe,
    set_errno, until,
};

#[test]
fn it_is_in_progress_and_then_zero() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    for _ in 0..100 {
        assert_eq!(aio_error(read.at()), Ok(libc::EINPROGRESS));
    }
    writer.write_all(b"text").unwrap();
    until("it is over", || {
        aio_error(read.at()) != Ok(libc::EINPROGRESS)
    });
    assert_eq!(aio_error(read.at()), Ok(0));
}

#[test]
fn it_is_the_errno_of_a_request_that_failed() {
    let scratch = Scratch::new();
    let directory = File::open(scratch.path("")).unwrap();
    let (reader, writer) = pipe();
    drop(reader);
    let read = Request::read(&directory, 4, 0).submitted();
    assert_eq!(read.result(), Err(libc::EISDIR));
    let write = Request::write(&writer, b"text", 0).submitted();
    assert_eq!(write.result(), Err(libc::EPIPE));
    let sync = Request::write(&writer, b"", 0);
    assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
    assert_eq!(sync.result(), Err(libc::EINVAL));
}

#[test]
fn it_is_ecanceled_after_a_cancel() {
    let (reader, _writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    until("it is cancelled", || {
        aio_cancel(reader.as_raw_fd(), read.at()) == Ok(libc::AIO_CANCELED)
    });
    assert_eq!(aio_error(read.at()), Ok(libc::ECANCELED));
}

#[test]
fn it_fails_where_no_request_is() {
    let pages = Pages::new(2).unmap(1);
    for address in [
        std::ptr::null(),
        std::ptr::without_provenance(8),
        std::ptr::without_provenance(usize::MAX - 7),
        pages.at::<Aiocb>(PAGE),
        pages.at::<Aiocb>(1).cast_const(),
    ] {
        set_errno(0);
        assert_eq!(aio_error(address), Err(libc::EINVAL), "{address:?}");
    }
    // What says EINPROGRESS, and isn't in flight.
    let (reader, _writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    let copy = Request::read(&reader, 4, 0);
    let copied = pages.at::<u8>(0);
    #[allow(unsafe_code, reason = "copies a block with its status")]
    // SAFETY: both places have room for a block. The status isn't written while it is in flight.
    unsafe {
        std::ptr::copy_nonoverlapping(read.at().cast::<u8>(), copied, size_of::<Aiocb>());
    }
    assert_eq!(aio_error(copied.cast()), Err(libc::EINVAL));
    assert_eq!(aio_error(copy.at()), Ok(0));
}

#[test]
fn it_answers_the_same_until_the_block_is_used_again() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, 0);
    assert_eq!(read.done(), Ok(4));
    for _ in 0..3 {
        assert_eq!(aio_error(read.at()), Ok(0));
        assert_eq!(aio_return(read.at()), Ok(4));
    }
}

#[test]
fn it_leaves_errno_alone() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, -1);
    assert_eq!(read.done(), Err(libc::EINVAL));
    set_errno(77);
    assert_eq!(aio_error(read.at()), Ok(libc::EINVAL));
    assert_eq!(errno(), 77);
}

#[test]
fn any_thread_may_ask() {
    let (reader, mut writer) = pipe();
    let reads: Vec<_> = (0..100)
        .map(|_| Request::read(&reader, 1, 0).submitted())
        .collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for read in &reads {
                    until("it is over", || read.is_over());
                    assert_eq!(aio_return(read.at()), Ok(1));
                }
            });
        }
        for _ in 0..100 {
            writer.write_all(b"x").unwrap();
        }
    });
}
