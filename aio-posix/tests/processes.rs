//! What becomes of requests when a process forks, runs another program, ends, or closes a file.

#![cfg(target_pointer_width = "64")]
#![allow(unsafe_code, reason = "makes C calls that std doesn't have")]

mod program;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::fd::AsRawFd,
    process::Command,
    ptr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use aio_posix::c::AioInit;
use program::{
    Request, Scratch, aio_cancel, aio_error, aio_init, aio_return, aio_suspend, alone, blocks,
    direct_file, exit, in_child, lio_listio, pipe, until,
};

#[test]
fn a_child_has_none_of_the_requests() {
    alone("a_child_has_none_of_the_requests", || {
        let scratch = Scratch::new();
        let file = scratch.file("file", b"text");
        let (reader, mut writer) = pipe();
        let read = Request::read(&reader, 4, 0).submitted();
        let over = Request::read(&file, 4, 0);
        assert_eq!(over.done(), Ok(4));
        in_child(|| {
            assert_eq!(aio_error(read.at()), Err(libc::EINVAL));
            assert_eq!(aio_return(read.at()), Err(libc::EINVAL));
            let list = [read.at().cast_const()];
            assert_eq!(aio_suspend(list.as_ptr(), 1, None), Err(libc::EINVAL));
            let cancelled = aio_cancel(reader.as_raw_fd(), ptr::null_mut());
            assert_eq!(cancelled, Ok(libc::AIO_ALLDONE));
            assert_eq!(over.result(), Ok(4));
        });
        // Nothing of that has changed anything here.
        assert_eq!(read.status(), libc::EINPROGRESS);
        writer.write_all(b"text").unwrap();
        assert_eq!(read.result(), Ok(4));
    });
}

#[test]
fn a_child_has_requests_of_its_own() {
    alone("a_child_has_requests_of_its_own", || {
        let scratch = Scratch::new();
        let file = scratch.file("file", b"text");
        let (reader, mut writer) = pipe();
        let (other, mut other_writer) = pipe();
        let read = Request::read(&reader, 4, 0).submitted();
        in_child(|| {
            assert_eq!(Request::read(&file, 4, 0).done(), Ok(4));
            let own = Request::read(&other, 2, 0).submitted();
            assert_eq!(own.status(), libc::EINPROGRESS);
            other_writer.write_all(b"ab").unwrap();
            assert_eq!(own.result(), Ok(2));
            // The block is the child's now.
            let same = read.with(|block| block.aio_fildes = other.as_raw_fd());
            assert_eq!(same.submit(), Ok(0));
            other_writer.write_all(b"cdef").unwrap();
            assert_eq!(same.result(), Ok(4));
            in_child(|| assert_eq!(Request::read(&file, 4, 0).done(), Ok(4)));
            exit(0);
        });
        writer.write_all(b"text").unwrap();
    });
}

#[test]
fn forks_amid_requests_harm_nobody() {
    alone("forks_amid_requests_harm_nobody", || {
        let scratch = Scratch::new();
        let file = scratch.file("file", &[7; 4096]);
        let stops = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stops.load(Relaxed) {
                        assert_eq!(Request::read(&file, 64, 64).done(), Ok(64));
                        assert_eq!(Request::write(&file, [7; 64], 128).done(), Ok(64));
                    }
                });
            }
            for _ in 0..40 {
                in_child(|| {
                    assert_eq!(Request::write(&file, [7; 64], 128).done(), Ok(64));
                    assert_eq!(Request::read(&file, 64, 0).done(), Ok(64));
                    exit(0);
                });
            }
            stops.store(true, Relaxed);
        });
    });
}

#[test]
fn a_child_that_ends_leaves_the_requests_alone() {
    alone("a_child_that_ends_leaves_the_requests_alone", || {
        let (reader, mut writer) = pipe();
        let reads = [(); 3].map(|()| Request::read(&reader, 4, 0).submitted());
        // SAFETY: functions for the end that are registered may run in the child.
        in_child(|| unsafe { libc::exit(0) });
        in_child(|| exit(0));
        assert!(reads.iter().all(|read| read.status() == libc::EINPROGRESS));
        writer.write_all(b"abcdefghijkl").unwrap();
        assert!(reads.iter().all(|read| read.result() == Ok(4)));
    });
}

/// Requests in flight: of a stream, of a file, of a list, direct ones.
fn in_flight(scratch: &Scratch) -> Vec<Request> {
    let (reader, writer) = pipe();
    let file = scratch.file("file", b"text");
    let direct = direct_file(&[0; 4096]);
    let mut requests: Vec<_> = (0..20)
        .map(|n| Request::write(&file, vec![1; 1 << 16], n << 16).submitted())
        .collect();
    if let Some(direct) = &direct {
        requests.push(Request::read(direct, 4096, 0).submitted());
    }
    requests.push(Request::read(&reader, 4, 0).submitted());
    let list = [(); 4].map(|()| Request::read(&reader, 4, 0));
    let answer = lio_listio(libc::LIO_NOWAIT, blocks(&list).as_ptr(), 4, ptr::null_mut());
    assert_eq!(answer, Ok(0));
    requests.extend(list);
    // They stay open.
    std::mem::forget((reader, writer, file, direct));
    requests
}

#[test]
fn a_program_that_takes_its_place_runs() {
    alone("a_program_that_takes_its_place_runs", || {
        let scratch = Scratch::new();
        in_child(|| {
            let _requests = in_flight(&scratch);
            let program = c"/bin/true".as_ptr();
            // SAFETY: both arguments are strings, the last one is null.
            unsafe { libc::execl(program, program, ptr::null::<libc::c_char>()) };
            panic!("it isn't there");
        });
    });
}

#[test]
fn a_process_ends_with_requests_in_flight() {
    alone("a_process_ends_with_requests_in_flight", || {
        let scratch = Scratch::new();
        let ends: [fn() -> !; 2] = [|| exit(0), || std::process::exit(0)];
        for end in ends {
            in_child(|| {
                let _requests = in_flight(&scratch);
                end();
            });
        }
    });
}

#[test]
fn a_program_that_is_started_has_none_of_the_requests() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    assert!(Command::new("/bin/true").status().unwrap().success());
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
}

#[test]
fn requests_on_a_descriptor_that_is_closed_go_on_with_their_file() {
    alone(
        "requests_on_a_descriptor_that_is_closed_go_on_with_their_file",
        || {
            // Two are submitted, and others wait for a slot.
            let init = AioInit {
                aio_num: 2,
                ..AioInit::default()
            };
            aio_init(&raw const init);
            let (reader, mut writer) = pipe();
            let number = reader.as_raw_fd();
            let reads: Vec<_> = (0..6)
                .map(|_| Request::read(&reader, 4, 0).submitted())
                .collect();
            drop(reader);
            // The number is another file's now.
            let (other, mut other_writer) = pipe();
            assert_eq!(other.as_raw_fd(), number);
            other_writer.write_all(b"other").unwrap();
            writer.write_all(b"aaaabbbbccccddddeeeeffff").unwrap();
            for (read, byte) in reads.iter().zip(b"abcdef") {
                assert_eq!(read.result(), Ok(4));
                assert_eq!(read.bytes(), [*byte; 4]);
            }
            let mut bytes = [0; 5];
            (&other).read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"other");
        },
    );
}

#[test]
fn writes_to_a_file_that_is_closed_are_carried_out() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    let writes: Vec<_> = (0..50)
        .map(|n| Request::write(&file, [1; 100], n * 100).submitted())
        .collect();
    drop(file);
    assert!(writes.iter().all(|write| write.result() == Ok(100)));
    let bytes = fs::read(scratch.path("file")).unwrap();
    assert_eq!(bytes, [1; 5000]);
}

/// The descriptors of this process, and whether a program that is started gets them.
fn descriptors() -> BTreeMap<i32, bool> {
    let numbers: Vec<i32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let flags_of = |number| {
        // SAFETY: the call touches no memory.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        // The directory's own descriptor is closed.
        (flags >= 0).then_some((number, flags & libc::FD_CLOEXEC == 0))
    };
    numbers.into_iter().filter_map(flags_of).collect()
}

#[test]
fn the_library_opens_no_file_that_a_program_inherits() {
    alone("the_library_opens_no_file_that_a_program_inherits", || {
        let before = descriptors();
        let init = AioInit {
            aio_num: 2,
            ..AioInit::default()
        };
        aio_init(&raw const init);
        let scratch = Scratch::new();
        let _requests = in_flight(&scratch);
        until("a stream is waited for", || {
            let fds = descriptors().into_keys();
            let link = |fd| fs::read_link(format!("/proc/self/fd/{fd}"));
            fds.filter_map(|fd| link(fd).ok())
                .any(|link| link.to_str().is_some_and(|link| link.contains("eventpoll")))
        });
        let mut now = descriptors();
        now.retain(|number, _| !before.contains_key(number));
        assert!(now.len() > 3, "{now:?}");
        assert!(now.values().all(|is_inherited| !is_inherited), "{now:?}");
    });
}
