//! `aio_return` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::io::Write;

use aio_posix::c::Aiocb;
use program::{PAGE, Pages, Request, Scratch, aio_fsync, aio_return, pipe};

#[test]
fn it_is_what_the_call_would_have_returned() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for (request, value) in [
        (Request::read(&file, 100, 0), 4),
        (Request::read(&file, 100, 100), 0),
        (Request::write(&file, b"some text", 0), 9),
        (Request::read(&file, 3, -1), -1),
    ] {
        assert_eq!(request.submit(), Ok(0));
        let _ = request.result();
        assert_eq!(aio_return(request.at()), Ok(value));
    }
    let sync = Request::write(&file, b"", 0);
    assert_eq!(aio_fsync(libc::O_SYNC, sync.at()), Ok(0));
    assert_eq!(sync.result(), Ok(0));
    assert_eq!(aio_return(sync.at()), Ok(0));
}

#[test]
fn it_fails_while_the_request_is_in_progress() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    assert_eq!(aio_return(read.at()), Err(libc::EINVAL));
    assert_eq!(read.status(), libc::EINPROGRESS);
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
    assert_eq!(aio_return(read.at()), Ok(4));
}

#[test]
fn it_fails_where_no_request_is() {
    let pages = Pages::new(2).unmap(1);
    for address in [
        std::ptr::null_mut(),
        std::ptr::without_provenance_mut(8),
        std::ptr::without_provenance_mut(usize::MAX - 7),
        pages.at::<Aiocb>(PAGE),
        pages.at::<Aiocb>(1),
    ] {
        assert_eq!(aio_return(address), Err(libc::EINVAL), "{address:?}");
    }
}
