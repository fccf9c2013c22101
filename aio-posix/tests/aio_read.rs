//! `aio_read` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    fs::File,
    io::Write,
    os::{
        fd::AsRawFd,
        unix::{fs::FileExt, net::UnixDatagram, net::UnixStream},
    },
};

use aio_posix::c::AioInit;
use program::{
    PAGE, Pages, Request, Scratch, aio_init, alone, direct_file, errno, pattern, pipe, until,
};

#[test]
fn it_returns_before_the_data_is_there() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    assert_eq!(read.status(), libc::EINPROGRESS);
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
    assert_eq!(read.bytes(), b"text");
}

#[test]
fn it_reads_at_the_offset() {
    let scratch = Scratch::new();
    let bytes = pattern(100_000);
    let file = scratch.file("file", &bytes);
    for offset in [0, 1, 4095, 70_000] {
        let read = Request::read(&file, 3000, offset as i64);
        assert_eq!(read.done(), Ok(3000));
        assert_eq!(read.bytes(), &bytes[offset..offset + 3000]);
    }
}

#[test]
fn it_reads_directly() {
    let bytes = pattern(64 * 4096);
    let Some(file) = direct_file(&bytes) else {
        return;
    };
    let memory = Pages::new(4);
    let reads: Vec<_> = (0..64)
        .map(|n| {
            Request::read(&file, 0, n * 4096).with(|block| {
                block.aio_buf = memory.at(n as usize * 4096);
                block.aio_nbytes = 4096;
            })
        })
        .map(Request::submitted)
        .collect();
    for (n, read) in reads.iter().enumerate() {
        assert_eq!(read.result(), Ok(4096), "read {n}");
    }
    // SAFETY: the memory is that long, and no request uses it any more.
    #[allow(unsafe_code, reason = "reads mapped memory")]
    let read = unsafe { std::slice::from_raw_parts(memory.at::<u8>(0), bytes.len()) };
    assert!(read == bytes);
    const { assert!(4 * PAGE == 64 * 4096) };
}

#[test]
fn it_reads_less_at_the_end_of_the_file() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123456789");
    let last = Request::read(&file, 100, 7);
    assert_eq!(last.done(), Ok(3));
    assert_eq!(&last.bytes()[..4], b"789\xee");
    assert_eq!(Request::read(&file, 100, 10).done(), Ok(0));
    assert_eq!(Request::read(&file, 100, 1 << 40).done(), Ok(0));
    assert_eq!(Request::read(&file, 0, 0).done(), Ok(0));
}

#[test]
fn the_opcode_means_nothing() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for opcode in [libc::LIO_NOP, libc::LIO_WRITE, 77, -1] {
        let read = Request::read(&file, 4, 0).with(|block| block.aio_lio_opcode = opcode);
        assert_eq!(program::aio_read(read.at()), Ok(0));
        assert_eq!(read.result(), Ok(4));
        assert_eq!(read.bytes(), b"text");
    }
}

#[test]
fn it_answers_as_pread() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &pattern(5000));
    let directory = File::open(scratch.path("")).unwrap();
    let write_only = File::create(scratch.path("other")).unwrap();
    let open = |path| File::open(path).unwrap();
    let files = [
        file,
        directory,
        write_only,
        open("/dev/null"),
        open("/dev/zero"),
        open("/proc/self/auxv"),
        open("/proc/self/environ"),
        open("/proc/sys/kernel/ostype"),
    ];
    for (n, file) in files.iter().enumerate() {
        for offset in [0, 17, 4999, 5000, 1 << 33, i64::MAX - 100, i64::MAX, -1] {
            for len in [0, 1, 100, 8192] {
                let mut buffer = vec![0xee; len];
                let at = buffer.as_mut_ptr().cast();
                let fd = file.as_raw_fd();
                // SAFETY: the buffer has room for so many bytes.
                #[allow(unsafe_code, reason = "std has no such call for negative offsets")]
                let expected = match unsafe { libc::pread(fd, at, len, offset) } {
                    -1 => Err(errno()),
                    read => Ok(read),
                };
                let read = Request::read(file, len, offset);
                let answer = read.done();
                if n == 1 && offset > 1 << 40 || matches!(n, 1 | 2) && offset < 0 {
                    // Both are wrong. Which is found isn't said anywhere.
                    let both = [libc::EBADF, libc::EISDIR, libc::EINVAL];
                    assert!(answer.is_err_and(|errno| both.contains(&errno)));
                    continue;
                }
                if matches!(n, 5 | 6) && len == 0 && offset >= 0 {
                    // The kernel's asynchronous reads don't know these files.
                    assert_eq!(answer, Err(libc::EINVAL));
                    continue;
                }
                assert_eq!(answer, expected, "file {n}, {len} bytes at {offset}");
                assert_eq!(read.bytes(), buffer);
            }
        }
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_is_an_error_of_the_request() {
    let scratch = Scratch::new();
    let write_only = File::create(scratch.path("file")).unwrap();
    let read = Request::read(&write_only, 4, 0).submitted();
    assert_eq!(read.result(), Err(libc::EBADF));
    for fd in [-1, i32::MIN, i32::MAX] {
        let read = Request::read(&write_only, 4, 0).with(|block| block.aio_fildes = fd);
        assert_eq!(read.submitted().result(), Err(libc::EBADF), "{fd}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for reqprio in [-1, i32::MIN, 21, 256, i32::MAX] {
        let read = Request::read(&file, 4, 0).with(|block| block.aio_reqprio = reqprio);
        assert_eq!(read.submit(), Err(libc::EINVAL));
        assert_eq!(read.status(), libc::EINVAL);
    }
    let read = Request::read(&file, 4, 0).with(|block| block.aio_nbytes = 1 << 63);
    assert_eq!(read.submit(), Err(libc::EINVAL));
    assert_eq!(read.status(), libc::EINVAL);
    let read = Request::read(&file, 4, -1).submitted();
    assert_eq!(read.result(), Err(libc::EINVAL));
}

#[test]
fn a_stream_has_no_offset() {
    let (reader, mut writer) = pipe();
    writer.write_all(b"0123").unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"4567").unwrap();
    let read = Request::read(&reader, 4, 1 << 50);
    assert_eq!(read.done(), Ok(4));
    assert_eq!(read.bytes(), b"0123");
    let read = Request::read(&near, 4, 99);
    assert_eq!(read.done(), Ok(4));
    assert_eq!(read.bytes(), b"4567");
}

#[test]
fn reads_of_a_stream_keep_their_order() {
    let (reader, mut writer) = pipe();
    let reads: Vec<_> = (0..50)
        .map(|_| Request::read(&reader, 2, 0).submitted())
        .collect();
    for n in 0..50_u8 {
        writer.write_all(&[n, n]).unwrap();
    }
    for (n, read) in (0..50).zip(&reads) {
        assert_eq!(read.result(), Ok(2));
        assert_eq!(read.bytes(), [n, n]);
    }
}

#[test]
fn each_read_takes_one_datagram() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let reads: Vec<_> = (0..10)
        .map(|_| Request::read(&near, 100, 0).submitted())
        .collect();
    for n in 1..=10 {
        far.send(&vec![n; n.into()]).unwrap();
    }
    for (n, read) in (1..=10_u8).zip(&reads) {
        assert_eq!(read.result(), Ok(n.into()));
        assert_eq!(read.bytes()[..n.into()], vec![n; n.into()]);
    }
}

#[test]
fn requests_that_wait_go_on_by_priority() {
    alone("requests_that_wait_go_on_by_priority", || {
        let init = AioInit {
            aio_num: 1,
            ..AioInit::default()
        };
        aio_init(&raw const init);
        let (reader, mut writer) = pipe();
        let of = |reqprio| {
            let read = Request::read(&reader, 1, 0);
            read.with(|block| block.aio_reqprio = reqprio).submitted()
        };
        let (first, last, second, same) = (of(20), of(20), of(3), of(3));
        writer.write_all(b"abcd").unwrap();
        let requests = [first, second, same, last];
        for (request, byte) in requests.iter().zip(b"abcd") {
            assert_eq!(request.result(), Ok(1));
            assert_eq!(request.bytes(), [*byte]);
        }
    });
}

#[test]
fn the_file_position_stays() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123456789");
    (&file).write_all(b"01").unwrap();
    assert_eq!(Request::read(&file, 4, 4).done(), Ok(4));
    assert_eq!(Request::write(&file, b"xy", 0).done(), Ok(2));
    (&file).write_all(b"!").unwrap();
    let mut bytes = [0; 3];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"xy!");
}

#[test]
fn a_block_can_be_used_again() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123");
    let mut read = Request::read(&file, 1, 0);
    for (offset, byte) in b"0123".iter().enumerate() {
        read = read.with(|block| block.aio_offset = offset as i64);
        assert_eq!(read.done(), Ok(1));
        assert_eq!(read.bytes(), [*byte]);
    }
}

#[test]
fn a_block_in_flight_is_refused_and_goes_on() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    assert_eq!(read.submit(), Err(libc::EINVAL));
    assert_eq!(program::aio_write(read.at()), Err(libc::EINVAL));
    assert_eq!(read.status(), libc::EINPROGRESS);
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
}

#[test]
fn thousands_of_requests_are_in_flight() {
    let (reader, mut writer) = pipe();
    let reads: Vec<_> = (0..10_000)
        .map(|_| Request::read(&reader, 1, 0).submitted())
        .collect();
    assert!(reads.iter().all(|read| !read.is_over()));
    writer.write_all(&[9; 10_000]).unwrap();
    until("all are over", || reads.iter().all(Request::is_over));
    assert!(reads.iter().all(|read| read.result() == Ok(1)));
}
