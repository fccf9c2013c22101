//! `aio_suspend` as a C program calls it.

#![cfg(target_pointer_width = "64")]

mod program;

use std::{
    io::Write,
    ptr,
    sync::{
        Barrier,
        atomic::{
            AtomicBool, AtomicI32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

use aio_posix::c::Aiocb;
use program::{
    Answer, PATIENCE, Request, Scratch, aio_suspend, alone, catch, kill, my_thread, pipe, signal,
    time,
};

fn list<const N: usize>(requests: [&Request; N]) -> [*const Aiocb; N] {
    requests.map(|request| request.at().cast_const())
}

fn suspend(list: &[*const Aiocb], timeout: Option<Duration>) -> Answer {
    aio_suspend(list.as_ptr(), list.len() as i32, timeout.map(time))
}

#[test]
fn it_returns_at_once_if_one_is_over() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (reader, _writer) = pipe();
    let over = Request::read(&file, 4, 0);
    assert_eq!(over.done(), Ok(4));
    let failed = Request::read(&file, 4, -1);
    assert_eq!(failed.done(), Err(libc::EINVAL));
    let waits = Request::read(&reader, 4, 0).submitted();
    for over in [&over, &failed] {
        for list in [list([over, &waits]), list([&waits, over])] {
            assert_eq!(suspend(&list, None), Ok(0));
            assert_eq!(suspend(&list, Some(Duration::ZERO)), Ok(0));
        }
    }
    assert_eq!(waits.status(), libc::EINPROGRESS);
}

#[test]
fn it_waits_until_one_is_over() {
    let (reader, mut writer) = pipe();
    let (other, _other_writer) = pipe();
    let reads = [
        Request::read(&other, 4, 0).submitted(),
        Request::read(&reader, 4, 0).submitted(),
    ];
    let list = list(reads.each_ref());
    let begun = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            thread::sleep(Duration::from_millis(20));
            writer.write_all(b"text").unwrap();
        });
        begun.wait();
        assert_eq!(suspend(&list, None), Ok(0));
        assert_eq!(reads[1].status(), 0);
        assert_eq!(reads[0].status(), libc::EINPROGRESS);
    });
}

#[test]
fn null_pointers_are_passed_over() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, 0).submitted();
    let list = [ptr::null(), read.at().cast_const(), ptr::null()];
    assert_eq!(suspend(&list, None), Ok(0));
    assert_eq!(read.status(), 0);
}

#[test]
fn time_is_up_after_the_timeout_and_not_before() {
    let (reader, _writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    for timeout in [0, 1, 50].map(Duration::from_millis) {
        let started = Instant::now();
        assert_eq!(suspend(&list([&read]), Some(timeout)), Err(libc::EAGAIN));
        assert!(started.elapsed() >= timeout);
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!(read.status(), libc::EINPROGRESS);
}

#[test]
fn without_requests_it_waits_for_the_timeout() {
    let timeout = Some(Duration::from_millis(5));
    assert_eq!(
        aio_suspend(ptr::null(), 0, timeout.map(time)),
        Err(libc::EAGAIN)
    );
    assert_eq!(
        suspend(&[ptr::null(), ptr::null()], timeout),
        Err(libc::EAGAIN)
    );
}

/// Sends signals to a thread that is in `aio_suspend`, at least `handlers` while it is there, and
/// then writes. What the call returned.
fn interrupted(index: i32, flags: i32, timeout: Option<Duration>, handlers: usize) -> Answer {
    let (signo, caught) = catch(index, flags);
    let (reader, mut writer) = pipe();
    let read = Request::read(&reader, 4, 0).submitted();
    let (waiter, over) = (AtomicI32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            waiter.store(my_thread(), SeqCst);
            let answer = suspend(&list([&read]), timeout);
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
        writer.write_all(b"text").unwrap();
        waits.join().unwrap()
    })
}

#[test]
fn a_signal_handler_ends_it() {
    assert_eq!(interrupted(1, 0, None, usize::MAX), Err(libc::EINTR));
    assert_eq!(
        interrupted(1, 0, Some(PATIENCE), usize::MAX),
        Err(libc::EINTR)
    );
}

#[test]
fn a_handler_with_sa_restart_does_not_end_it() {
    assert_eq!(interrupted(2, libc::SA_RESTART, None, 50), Ok(0));
}

#[test]
fn a_handler_with_sa_restart_ends_it_if_it_has_a_timeout() {
    let answer = interrupted(3, libc::SA_RESTART, Some(PATIENCE), usize::MAX);
    assert_eq!(answer, Err(libc::EINTR));
}

#[test]
fn the_signal_of_a_request_may_end_it() {
    // Such a signal may come to any thread, and so end other tests' waits.
    alone("the_signal_of_a_request_may_end_it", || {
        let (signo, caught) = catch(4, 0);
        let scratch = Scratch::new();
        let file = scratch.file("file", b"text");
        for n in 1..=200 {
            let read = Request::read(&file, 4, 0).notify(signal(signo, 0));
            let read = read.submitted();
            match suspend(&list([&read]), Some(PATIENCE)) {
                Ok(0) | Err(libc::EINTR) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(read.result(), Ok(4));
            program::until("the signal comes", || caught.count() == n);
        }
    });
}

#[test]
fn all_threads_that_wait_are_woken() {
    let (reader, mut writer) = pipe();
    for _ in 0..20 {
        let read = Request::read(&reader, 4, 0).submitted();
        thread::scope(|scope| {
            let waits = [(); 8].map(|()| scope.spawn(|| suspend(&list([&read]), Some(PATIENCE))));
            writer.write_all(b"text").unwrap();
            let started = Instant::now();
            for waits in waits {
                assert_eq!(waits.join().unwrap(), Ok(0));
            }
            // Whoever isn't woken waits for the timeout.
            assert!(started.elapsed() < PATIENCE / 2);
        });
    }
}

#[test]
fn a_wait_is_never_missed() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &[1; 8192]);
    for n in 0..2000 {
        let write = Request::write(&file, [2; 16], n).submitted();
        let started = Instant::now();
        assert_eq!(suspend(&list([&write]), Some(PATIENCE)), Ok(0));
        // A wait that is missed ends with the timeout.
        assert!(started.elapsed() < PATIENCE / 2);
        assert_eq!(write.status(), 0);
    }
}
