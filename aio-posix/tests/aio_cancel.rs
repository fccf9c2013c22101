//! `aio_cancel` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    ptr,
};

use program::{
    Answer, Pages, Request, Scratch, aio_cancel, aio_return, catch, direct_file, fill, pipe,
    signal, until,
};

fn cancel(request: &Request) -> Answer {
    aio_cancel(request.fd(), request.at())
}

/// Cancels a request on a stream without data. While a worker looks for data that can't be done.
fn cancelled(request: &Request) {
    until("it is cancelled", || match cancel(request) {
        Ok(libc::AIO_CANCELED) => true,
        Ok(libc::AIO_NOTCANCELED) => false,
        other => panic!("{other:?}"),
    });
}

fn all_cancelled(fd: &impl AsRawFd) {
    until("they are cancelled", || {
        match aio_cancel(fd.as_raw_fd(), ptr::null_mut()) {
            Ok(libc::AIO_CANCELED) => true,
            Ok(libc::AIO_NOTCANCELED) => false,
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_request_is_cancelled_and_others_go_on() {
    let (reader, mut writer) = pipe();
    let reads = [(); 3].map(|()| Request::read(&reader, 4, 0).submitted());
    cancelled(&reads[1]);
    assert_eq!(reads[1].status(), libc::ECANCELED);
    assert_eq!(aio_return(reads[1].at()), Ok(-1));
    assert_eq!(reads[1].bytes(), [0xee; 4]);
    // What it would have read is there for the next one.
    writer.write_all(b"abcdefgh").unwrap();
    assert_eq!(reads[0].result(), Ok(4));
    assert_eq!(reads[2].result(), Ok(4));
    assert_eq!(reads[2].bytes(), b"efgh");
}

#[test]
fn all_requests_on_a_descriptor_are_cancelled() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let other = near.try_clone().unwrap();
    let reads: Vec<_> = (0..20)
        .map(|_| Request::read(&near, 4, 0).submitted())
        .collect();
    let not_meant = Request::read(&other, 4, 0).submitted();
    all_cancelled(&near);
    for read in &reads {
        assert_eq!(read.result(), Err(libc::ECANCELED));
    }
    assert_eq!(not_meant.status(), libc::EINPROGRESS);
    far.write_all(b"text").unwrap();
    assert_eq!(not_meant.result(), Ok(4));
}

#[test]
fn writes_that_wait_for_room_are_cancelled() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let before = fill(Datagrams(&near), &[0; 512]);
    let writes: Vec<_> = (0..20)
        .map(|_| Request::write(&near, [1; 512], 0).submitted())
        .collect();
    cancelled(&writes[7]);
    assert_eq!(writes[7].result(), Err(libc::ECANCELED));
    all_cancelled(&near);
    assert!(
        writes
            .iter()
            .all(|write| write.result() == Err(libc::ECANCELED))
    );
    let mut bytes = [0; 1000];
    for _ in 0..before {
        far.recv(&mut bytes).unwrap();
    }
    // Nothing of what was cancelled arrives.
    far.set_nonblocking(true).unwrap();
    assert!(far.recv(&mut bytes).is_err());
}

/// Sends each piece as a datagram.
struct Datagrams<'s>(&'s UnixDatagram);

impl Write for Datagrams<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::os::fd::AsFd for Datagrams<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn there_is_nothing_to_cancel_when_all_is_over() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let fd = file.as_raw_fd();
    assert_eq!(aio_cancel(fd, ptr::null_mut()), Ok(libc::AIO_ALLDONE));
    let read = Request::read(&file, 4, 0);
    assert_eq!(read.done(), Ok(4));
    assert_eq!(cancel(&read), Ok(libc::AIO_ALLDONE));
    assert_eq!(aio_cancel(fd, ptr::null_mut()), Ok(libc::AIO_ALLDONE));
    assert_eq!(read.result(), Ok(4));
    // A block that was never submitted.
    assert_eq!(cancel(&Request::read(&file, 4, 0)), Ok(libc::AIO_ALLDONE));
}

/// Checks that an answer agrees with what becomes of the request.
fn agrees(answer: Answer, request: &Request, expected: isize) {
    match answer.unwrap() {
        libc::AIO_CANCELED => {
            assert_eq!(request.status(), libc::ECANCELED);
            assert_eq!(aio_return(request.at()), Ok(-1));
        }
        libc::AIO_NOTCANCELED => assert_eq!(request.result(), Ok(expected)),
        libc::AIO_ALLDONE => assert_eq!(request.status(), 0),
        other => panic!("{other}"),
    }
}

#[test]
fn the_answer_agrees_with_the_status() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &[1; 1 << 20]);
    for n in 0..300 {
        let (read, write) = (
            Request::read(&file, 4096, n * 1000).submitted(),
            Request::write(&file, [2; 4096], n * 1000).submitted(),
        );
        agrees(cancel(&write), &write, 4096);
        agrees(cancel(&read), &read, 4096);
    }
}

#[test]
fn a_direct_transfer_goes_on_or_is_over() {
    let Some(file) = direct_file(&[1; 1 << 16]) else {
        return;
    };
    let memory = Pages::new(1);
    for n in 0..300 {
        let read = Request::read(&file, 0, 0).with(|block| {
            block.aio_buf = memory.at(0);
            block.aio_nbytes = 4096 * (1 + n % 8);
        });
        let read = read.submitted();
        agrees(cancel(&read), &read, 4096 * (1 + n as isize % 8));
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, 0);
    for fd in [-1, i32::MIN, i32::MAX] {
        assert_eq!(aio_cancel(fd, ptr::null_mut()), Err(libc::EBADF));
        assert_eq!(aio_cancel(fd, read.at()), Err(libc::EBADF));
    }
}

#[test]
fn a_block_of_another_descriptor_is_refused() {
    let (reader, mut writer) = pipe();
    let null = File::open("/dev/null").unwrap();
    let read = Request::read(&reader, 4, 0).submitted();
    assert_eq!(aio_cancel(null.as_raw_fd(), read.at()), Err(libc::EINVAL));
    assert_eq!(read.status(), libc::EINPROGRESS);
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
}

#[test]
fn who_cancels_is_also_told() {
    let (signo, caught) = catch(1, libc::SA_RESTART);
    let (reader, _writer) = pipe();
    let reads: Vec<_> = (0..5)
        .map(|n| Request::read(&reader, 4, 0).notify(signal(signo, n)))
        .map(Request::submitted)
        .collect();
    all_cancelled(&reader);
    until("the signals come", || caught.count() == 5);
    assert_eq!(caught.values(), 0b11111);
    assert!(reads.iter().all(|read| read.status() == libc::ECANCELED));
}

#[test]
fn what_was_transferred_in_part_is_not_cancelled() {
    let (mut reader, writer) = pipe();
    let len = fill(&writer, &[0; 4096]) * 4096;
    let write = Request::write(&writer, vec![1; 8192], 0).submitted();
    // There is room for one half of it.
    reader.read_exact(&mut [0; 4096]).unwrap();
    let mut written = 0;
    let mut answer = cancel(&write);
    while answer == Ok(libc::AIO_NOTCANCELED) && !write.is_over() {
        let mut bytes = [0; 4096];
        // Without data it would block: the write may be over, and all of it read.
        if rustix::io::ioctl_fionread(&reader).unwrap() > 0 {
            written += bytes_of_write(reader.read(&mut bytes).unwrap(), &bytes);
        }
        answer = cancel(&write);
    }
    let result = write.result();
    drop(writer);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    written += bytes_of_write(rest.len(), &rest);
    assert!(len >= 4096);
    // Whatever arrived is what the request says.
    match result {
        Ok(n) => assert_eq!(n as usize, written),
        Err(errno) => assert_eq!((errno, written), (libc::ECANCELED, 0)),
    }
}

fn bytes_of_write(len: usize, bytes: &[u8]) -> usize {
    bytes[..len].iter().filter(|&&byte| byte == 1).count()
}
