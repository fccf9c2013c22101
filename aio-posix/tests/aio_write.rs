//! `aio_write` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixStream},
    },
};

use program::{Pages, Request, Scratch, alone, direct_file, errno, fill, pattern, pipe};

#[test]
fn it_returns_before_there_is_room() {
    let (mut reader, writer) = pipe();
    let len = fill(&writer, &[0; 4096]) * 4096;
    let write = Request::write(&writer, b"text", 0).submitted();
    assert_eq!(write.status(), libc::EINPROGRESS);
    let mut bytes = vec![0; len + 4];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes[len..], b"text");
    assert_eq!(write.result(), Ok(4));
}

#[test]
fn it_writes_at_the_offset() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123456789");
    let writes = [
        Request::write(&file, b"ab", 2).submitted(),
        Request::write(&file, b"yz", 12).submitted(),
        Request::write(&file, b"", 99).submitted(),
    ];
    assert_eq!(
        writes.each_ref().map(Request::result),
        [Ok(2), Ok(2), Ok(0)]
    );
    let bytes = std::fs::read(scratch.path("file")).unwrap();
    assert_eq!(bytes, b"01ab456789\0\0yz");
}

#[test]
#[allow(unsafe_code, reason = "writes mapped memory")]
fn it_writes_directly() {
    let Some(file) = direct_file(&[]) else {
        return;
    };
    let bytes = pattern(64 * 4096);
    let memory = Pages::new(4);
    // SAFETY: the memory is that long, and no request uses it yet.
    let place = unsafe { std::slice::from_raw_parts_mut(memory.at::<u8>(0), bytes.len()) };
    place.copy_from_slice(&bytes);
    let writes: Vec<_> = (0..64)
        .map(|n| {
            Request::write(&file, b"", n * 4096).with(|block| {
                block.aio_buf = memory.at(n as usize * 4096);
                block.aio_nbytes = 4096;
            })
        })
        .map(Request::submitted)
        .collect();
    for (n, write) in writes.iter().enumerate() {
        assert_eq!(write.result(), Ok(4096), "write {n}");
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert!(std::fs::read(path).unwrap() == bytes);
}

#[test]
fn appends_keep_their_order_whatever_their_offset() {
    let scratch = Scratch::new();
    let mut options = OpenOptions::new();
    let path = scratch.path("log");
    let file = options.append(true).create(true).open(&path).unwrap();
    for _ in 0..5 {
        // Short ones would overtake long ones.
        let len = |n: u8| if n % 2 == 0 { 60_000 } else { 1 };
        let appends: Vec<_> = (0..200)
            .map(|n| Request::write(&file, vec![n; len(n)], (n % 7).into()).submitted())
            .collect();
        for (n, append) in (0..).zip(&appends) {
            assert_eq!(append.result(), Ok(len(n) as isize));
        }
        let expected: Vec<_> = (0..200).flat_map(|n| vec![n; len(n)]).collect();
        assert!(std::fs::read(&path).unwrap() == expected);
        file.set_len(0).unwrap();
    }
}

#[test]
fn writes_to_a_stream_keep_their_order() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let writes: Vec<_> = (0..200)
        .map(|n| Request::write(&near, vec![n; 5000], 7).submitted())
        .collect();
    let mut bytes = vec![0; 200 * 5000];
    far.read_exact(&mut bytes).unwrap();
    for (n, piece) in (0..200).zip(bytes.chunks(5000)) {
        assert!(piece == vec![n; 5000], "write {n}");
    }
    for write in &writes {
        assert_eq!(write.result(), Ok(5000));
    }
}

#[test]
fn each_write_is_one_datagram() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let before = fill(Datagrams(&near), &[0; 512]);
    let writes: Vec<_> = (1..=20)
        .map(|n| Request::write(&near, vec![n; n.into()], 0).submitted())
        .collect();
    let mut bytes = [0; 1000];
    for _ in 0..before {
        assert_eq!(far.recv(&mut bytes).unwrap(), 512);
    }
    for n in 1..=20_u8 {
        assert_eq!(far.recv(&mut bytes).unwrap(), n.into());
        assert_eq!(bytes[0], n);
    }
    for (n, write) in (1..=20).zip(&writes) {
        assert_eq!(write.result(), Ok(n));
    }
}

/// Sends each piece as a datagram.
struct Datagrams<'s>(&'s UnixDatagram);

impl std::io::Write for Datagrams<'_> {
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
fn the_opcode_means_nothing() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123");
    for opcode in [libc::LIO_NOP, libc::LIO_READ, 77, -1] {
        let write = Request::write(&file, b"text", 0).with(|block| block.aio_lio_opcode = opcode);
        assert_eq!(program::aio_write(write.at()), Ok(0));
        assert_eq!(write.result(), Ok(4));
    }
    assert_eq!(std::fs::read(scratch.path("file")).unwrap(), b"text");
}

#[test]
fn it_answers_as_pwrite() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123");
    let read_only = File::open(scratch.path("file")).unwrap();
    let directory = File::open(scratch.path("")).unwrap();
    let open = |path| OpenOptions::new().write(true).open(path).unwrap();
    let files = [file, read_only, directory, open("/dev/null")];
    for (n, file) in files.iter().enumerate() {
        for offset in [0, 17, 100_000, i64::MAX - 1, i64::MAX, -1, i64::MIN] {
            for len in [0, 1, 100, 8192] {
                let bytes = vec![7; len];
                let (fd, at) = (file.as_raw_fd(), bytes.as_ptr().cast());
                // SAFETY: the buffer has so many bytes.
                #[allow(unsafe_code, reason = "std has no such call for negative offsets")]
                let expected = match unsafe { libc::pwrite(fd, at, len, offset) } {
                    -1 => Err(errno()),
                    written => Ok(written),
                };
                let write = Request::write(file, bytes, offset);
                let answer = write.done();
                if (1..=2).contains(&n) && offset < 0 {
                    // Both are wrong. Which is found isn't said anywhere.
                    assert!(matches!(answer, Err(libc::EBADF | libc::EINVAL)));
                    continue;
                }
                assert_eq!(answer, expected, "file {n}, {len} bytes at {offset}");
            }
        }
    }
}

#[test]
fn a_descriptor_that_cannot_be_written_is_an_error_of_the_request() {
    let null = File::open("/dev/null").unwrap();
    let write = Request::write(&null, b"text", 0).submitted();
    assert_eq!(write.result(), Err(libc::EBADF));
    for fd in [-1, i32::MIN, i32::MAX] {
        let write = Request::write(&null, b"text", 0).with(|block| block.aio_fildes = fd);
        assert_eq!(write.submitted().result(), Err(libc::EBADF), "{fd}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for reqprio in [-1, 21] {
        let write = Request::write(&file, b"x", 0).with(|block| block.aio_reqprio = reqprio);
        assert_eq!(write.submit(), Err(libc::EINVAL));
    }
    let write = Request::write(&file, b"x", 0).with(|block| block.aio_nbytes = usize::MAX);
    assert_eq!(write.submit(), Err(libc::EINVAL));
    let write = Request::write(&file, b"x", i64::MIN).submitted();
    assert_eq!(write.result(), Err(libc::EINVAL));
    assert_eq!(std::fs::read(scratch.path("file")).unwrap(), b"text");
}

#[test]
fn synchronous_descriptors_are_written_synchronously() {
    let scratch = Scratch::new();
    for flags in [libc::O_SYNC, libc::O_DSYNC] {
        let file = scratch.open("file", flags);
        let write = Request::write(&file, b"durable", 0);
        assert_eq!(write.done(), Ok(7));
        assert_eq!(std::fs::read(scratch.path("file")).unwrap(), b"durable");
    }
}

#[test]
fn a_file_at_its_limit_is_an_error_and_no_signal() {
    alone("a_file_at_its_limit_is_an_error_and_no_signal", || {
        let scratch = Scratch::new();
        let file = scratch.file("file", b"text");
        let limit = libc::rlimit {
            rlim_cur: 8192,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is a rlimit.
        #[allow(unsafe_code, reason = "std has no such call")]
        let done = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
        assert_eq!(done, 0);
        assert_eq!(
            Request::write(&file, [1; 100], 9000).done(),
            Err(libc::EFBIG)
        );
        assert_eq!(Request::write(&file, [1; 100], 8142).done(), Ok(50));
    });
}

#[test]
fn a_broken_pipe_is_an_error_and_no_signal() {
    alone("a_broken_pipe_is_an_error_and_no_signal", || {
        // SAFETY: the usual action is a valid one. Rust programs have another one.
        #[allow(unsafe_code, reason = "std has no such call")]
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(before, libc::SIG_IGN);
        let (reader, writer) = pipe();
        drop(reader);
        assert_eq!(Request::write(&writer, b"text", 0).done(), Err(libc::EPIPE));
    });
}
