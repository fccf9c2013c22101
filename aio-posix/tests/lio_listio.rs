//! `lio_listio` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    ffi::c_int,
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_posix::c::{Sigevent, aioPxLibInit};
use program::{
    Answer, PATIENCE, Request, Scratch, aio_cancel, alone, blocks, catch, kill, lio_listio,
    my_thread, pattern, pipe, signal, until,
};

fn listio(mode: c_int, requests: &[Request], event: Option<Sigevent>) -> Answer {
    let list = blocks(requests);
    let mut event = event;
    let event = event.as_mut().map_or(ptr::null_mut(), |event| event);
    lio_listio(mode, list.as_ptr(), list.len() as c_int, event)
}

fn wait(requests: &[Request]) -> Answer {
    listio(libc::LIO_WAIT, requests, None)
}

#[test]
fn lio_wait_returns_when_all_are_over() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.file("one", b"abcdef"), scratch.file("two", b""));
    let list = [
        Request::read(&one, 3, 0),
        Request::write(&two, b"hello", 0),
        Request::read(&one, 10, 3),
        Request::write(&two, b" world", 5),
    ];
    assert_eq!(wait(&list), Ok(0));
    assert!(list.iter().all(|request| request.status() == 0));
    let results = list.each_ref().map(Request::result);
    assert_eq!(results, [Ok(3), Ok(5), Ok(3), Ok(6)]);
    assert_eq!(
        (list[0].bytes(), &list[2].bytes()[..3]),
        (&b"abc"[..], &b"def"[..])
    );
    assert_eq!(std::fs::read(scratch.path("two")).unwrap(), b"hello world");
}

#[test]
fn lio_wait_waits_for_the_last_one() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (reader, mut writer) = pipe();
    let list = [Request::read(&file, 4, 0), Request::read(&reader, 4, 0)];
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let answer = wait(&list);
            assert!(over.load(SeqCst));
            answer
        });
        thread::sleep(Duration::from_millis(20));
        over.store(true, SeqCst);
        writer.write_all(b"text").unwrap();
        assert_eq!(waits.join().unwrap(), Ok(0));
    });
    assert!(list.iter().all(|request| request.result() == Ok(4)));
}

#[test]
fn lio_wait_ignores_sig() {
    let (signo, caught) = catch(1, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let list = [Request::read(&file, 4, 0)];
    assert_eq!(listio(libc::LIO_WAIT, &list, Some(signal(signo, 0))), Ok(0));
    let wild = ptr::without_provenance_mut(8);
    assert_eq!(
        lio_listio(libc::LIO_WAIT, blocks(&list).as_ptr(), 1, wild),
        Ok(0)
    );
    thread::sleep(Duration::from_millis(20));
    assert_eq!(caught.count(), 0);
}

#[test]
fn lio_nowait_returns_at_once_and_tells_when_all_are_over() {
    let (signo, caught) = catch(2, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (reader, mut writer) = pipe();
    let list = [
        Request::read(&file, 4, 0),
        Request::read(&reader, 4, 0),
        Request::read(&reader, 4, 0),
    ];
    assert_eq!(
        listio(libc::LIO_NOWAIT, &list, Some(signal(signo, 9))),
        Ok(0)
    );
    writer.write_all(b"0123").unwrap();
    assert_eq!(list[0].result(), Ok(4));
    assert_eq!(list[1].result(), Ok(4));
    assert_eq!(list[2].status(), libc::EINPROGRESS);
    assert_eq!(caught.count(), 0);
    writer.write_all(b"4567").unwrap();
    until("the signal comes", || caught.count() == 1);
    assert_eq!((caught.code(), caught.value()), (libc::SI_ASYNCIO, 9));
    assert_eq!(list[2].status(), 0);
    thread::sleep(Duration::from_millis(5));
    assert_eq!(caught.count(), 1);
}

#[test]
fn without_sig_nobody_is_told() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let list = [Request::read(&file, 4, 0), Request::read(&file, 2, 2)];
    assert_eq!(listio(libc::LIO_NOWAIT, &list, None), Ok(0));
    let results = list.each_ref().map(Request::result);
    assert_eq!(results, [Ok(4), Ok(2)]);
}

#[test]
fn each_request_also_tells() {
    let (signo, caught) = catch(3, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for (mode, expected) in [(libc::LIO_WAIT, 3), (libc::LIO_NOWAIT, 7)] {
        let of = |n| Request::read(&file, 4, 0).notify(signal(signo, n));
        let list = [of(1), of(2), of(3)];
        assert_eq!(listio(mode, &list, Some(signal(signo, 4))), Ok(0));
        until("the signals come", || caught.count() == expected);
    }
    assert_eq!(caught.values(), 0b11110);
}

#[test]
fn null_pointers_and_nops_are_passed_over() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, 0);
    let nop = Request::read(&file, 4, 0).with(|block| {
        block.aio_lio_opcode = libc::LIO_NOP;
        block.aio_fildes = -1;
        block.aio_reqprio = -1;
    });
    let null = ptr::null_mut();
    let list = [null, read.at(), nop.at(), null];
    for mode in [libc::LIO_WAIT, libc::LIO_NOWAIT] {
        assert_eq!(lio_listio(mode, list.as_ptr(), 4, ptr::null_mut()), Ok(0));
        assert_eq!(read.result(), Ok(4));
        assert_eq!(nop.bytes(), [0xee; 4]);
    }
}

#[test]
fn an_empty_list_is_over_at_once() {
    let (signo, caught) = catch(4, libc::SA_RESTART);
    assert_eq!(
        lio_listio(libc::LIO_WAIT, ptr::null(), 0, ptr::null_mut()),
        Ok(0)
    );
    assert_eq!(listio(libc::LIO_NOWAIT, &[], Some(signal(signo, 3))), Ok(0));
    until("the signal comes", || caught.count() == 1);
    let list = [ptr::null_mut(); 3];
    let mut event = signal(signo, 4);
    let answer = lio_listio(libc::LIO_NOWAIT, list.as_ptr(), 3, &raw mut event);
    assert_eq!(answer, Ok(0));
    until("the signal comes", || caught.count() == 2);
}

#[test]
fn a_request_that_fails_makes_lio_wait_fail() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let null = File::open("/dev/null").unwrap();
    let list = [
        Request::read(&file, 4, 0),
        Request::write(&null, b"text", 0),
        Request::read(&file, 4, -1),
        Request::read(&file, 1, 1),
    ];
    assert_eq!(wait(&list), Err(libc::EIO));
    let results = list.each_ref().map(Request::result);
    assert_eq!(results, [Ok(4), Err(libc::EBADF), Err(libc::EINVAL), Ok(1)]);
}

#[test]
fn with_lio_nowait_a_request_that_fails_later_is_in_its_status_only() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let null = File::open("/dev/null").unwrap();
    let list = [
        Request::read(&file, 4, 0),
        Request::write(&null, b"text", 0),
    ];
    match listio(libc::LIO_NOWAIT, &list, None) {
        Ok(0) | Err(libc::EIO) => {}
        other => panic!("{other:?}"),
    }
    let results = list.each_ref().map(Request::result);
    assert_eq!(results, [Ok(4), Err(libc::EBADF)]);
}

#[test]
fn a_request_that_is_refused_lets_the_others_go_on() {
    let (signo, caught) = catch(5, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let of = |reqprio, opcode| {
        Request::read(&file, 4, 0).with(|block| {
            block.aio_reqprio = reqprio;
            block.aio_lio_opcode = opcode;
        })
    };
    for (mode, told) in [(libc::LIO_WAIT, 0), (libc::LIO_NOWAIT, 1)] {
        let list = [
            of(0, libc::LIO_READ),
            of(-1, libc::LIO_READ),
            of(0, 77),
            of(0, -1),
            of(3, libc::LIO_READ),
        ];
        assert_eq!(listio(mode, &list, Some(signal(signo, 0))), Err(libc::EIO));
        let bad = Err(libc::EINVAL);
        let results = list.each_ref().map(Request::result);
        assert_eq!(results, [Ok(4), bad, bad, bad, Ok(4)]);
        until("the list is over", || caught.count() == told);
    }
}

#[test]
fn a_request_that_is_cancelled_makes_lio_wait_fail() {
    let (reader, _writer) = pipe();
    let list = [Request::read(&reader, 4, 0)];
    thread::scope(|scope| {
        let waits = scope.spawn(|| wait(&list));
        until("it is cancelled", || {
            aio_cancel(reader.as_raw_fd(), ptr::null_mut()) == Ok(libc::AIO_CANCELED)
        });
        assert_eq!(waits.join().unwrap(), Err(libc::EIO));
    });
    assert_eq!(list[0].result(), Err(libc::ECANCELED));
}

/// Sends signals to a thread that waits for a list, `handlers` at least, and then ends the list.
fn interrupted(index: c_int, flags: c_int, handlers: usize) -> Answer {
    let (signo, caught) = catch(index, flags);
    let (reader, mut writer) = pipe();
    let list = [Request::read(&reader, 4, 0)];
    let (waiter, over) = (AtomicI32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            waiter.store(my_thread(), SeqCst);
            let answer = wait(&list);
            over.store(true, SeqCst);
            answer
        });
        let started = Instant::now();
        while !over.load(SeqCst) && caught.count() < handlers {
            match waiter.load(Relaxed) {
                0 => {}
                thread => kill(thread, signo),
            }
            thread::sleep(Duration::from_millis(1));
            assert!(started.elapsed() < PATIENCE);
        }
        if flags == 0 {
            // The request goes on.
            assert_eq!(list[0].status(), libc::EINPROGRESS);
        }
        writer.write_all(b"text").unwrap();
        assert_eq!(list[0].result(), Ok(4));
        waits.join().unwrap()
    })
}

#[test]
fn a_signal_handler_ends_the_wait_and_not_the_requests() {
    assert_eq!(interrupted(6, 0, usize::MAX), Err(libc::EINTR));
}

#[test]
fn a_handler_with_sa_restart_does_not_end_the_wait() {
    assert_eq!(interrupted(7, libc::SA_RESTART, 50), Ok(0));
}

#[test]
fn another_mode_and_a_negative_number_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let list = [Request::read(&file, 4, 0)];
    let modes = [2, -1, 77, i32::MIN];
    for mode in modes {
        assert_eq!(listio(mode, &list, None), Err(libc::EINVAL));
    }
    for nent in [-1, i32::MIN] {
        let answer = lio_listio(
            libc::LIO_WAIT,
            blocks(&list).as_ptr(),
            nent,
            ptr::null_mut(),
        );
        assert_eq!(answer, Err(libc::EINVAL));
    }
    // Nothing was begun.
    assert_eq!(list[0].bytes(), [0xee; 4]);
}

#[test]
fn there_may_be_64_lists_at_a_time() {
    let (signo, caught) = catch(8, libc::SA_RESTART);
    let (reader, mut writer) = pipe();
    let scratch = Scratch::new();
    let file = scratch.file("file", &pattern(4096));
    let lists: Vec<_> = (0..64)
        .map(|n| {
            let list = [
                Request::read(&file, 64, n * 64),
                Request::read(&reader, 1, 0),
                Request::write(&file, [n as u8; 64], n * 64),
                Request::read(&reader, 1, 0),
            ];
            let event = signal(signo, n as usize);
            assert_eq!(listio(libc::LIO_NOWAIT, &list, Some(event)), Ok(0));
            list
        })
        .collect();
    assert_eq!(caught.count(), 0);
    writer.write_all(&[5; 128]).unwrap();
    until("all lists are over", || caught.count() == 64);
    assert_eq!(caught.values(), u64::MAX);
    for list in lists.iter().flatten() {
        assert!(list.result().is_ok_and(|n| n == 64 || n == 1));
    }
    let bytes = std::fs::read(scratch.path("file")).unwrap();
    assert!((0..64).all(|n| bytes[n * 64..][..64] == [n as u8; 64]));
}

#[test]
fn a_list_may_have_thousands_of_requests() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    let list: Vec<_> = (0..5000)
        .map(|n| Request::write(&file, [n as u8; 8], n * 8))
        .collect();
    assert_eq!(wait(&list), Ok(0));
    let bytes = std::fs::read(scratch.path("file")).unwrap();
    let expected: Vec<_> = (0..5000).flat_map(|n| [n as u8; 8]).collect();
    assert!(bytes == expected);
}

#[test]
fn a_block_that_is_twice_in_a_list_is_refused_once() {
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0);
    let list = [read.at(), read.at()];
    let answer = lio_listio(libc::LIO_NOWAIT, list.as_ptr(), 2, ptr::null_mut());
    assert_eq!(answer, Err(libc::EIO));
    assert_eq!(read.status(), libc::EINPROGRESS);
    writer.write_all(b"text").unwrap();
    assert_eq!(read.result(), Ok(4));
}

#[test]
fn more_lists_than_there_may_be_are_refused() {
    alone("more_lists_than_there_may_be_are_refused", || {
        assert_eq!(aioPxLibInit(2), 0);
        let (reader, mut writer) = pipe();
        let lists = [(); 3].map(|()| [Request::read(&reader, 1, 0)]);
        let begin = |n: usize| listio(libc::LIO_NOWAIT, &lists[n], None);
        assert_eq!([begin(0), begin(1)], [Ok(0), Ok(0)]);
        assert_eq!(begin(2), Err(libc::EAGAIN));
        assert_eq!(wait(&lists[2]), Err(libc::EAGAIN));
        assert_eq!(lists[2][0].bytes(), [0xee]);
        writer.write_all(b"abc").unwrap();
        assert_eq!(lists[0][0].result(), Ok(1));
        until("a list is over", || begin(2) == Ok(0));
        assert_eq!(lists[2][0].result(), Ok(1));
    });
}
