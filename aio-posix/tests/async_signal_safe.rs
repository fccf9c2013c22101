//! `aio_error`, `aio_return` and `aio_suspend` in signal handlers.

#![cfg(target_pointer_width = "64")]
#![allow(unsafe_code, reason = "makes C calls that std doesn't have")]

mod program;

use std::{
    collections::BTreeMap,
    ffi::c_int,
    mem,
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_posix::c::Aiocb;
use program::{
    PATIENCE, Request, Scratch, aio_error, aio_return, aio_suspend, alone, errno, kill, my_thread,
    pipe, set_errno, time,
};

/// How often the handler runs.
const HANDLERS: usize = 5000;

/// A request that is over, one that isn't, and one that is submitted again and again.
static OVER: AtomicPtr<Aiocb> = AtomicPtr::new(ptr::null_mut());
static IN_FLIGHT: AtomicPtr<Aiocb> = AtomicPtr::new(ptr::null_mut());
static BUSY: AtomicPtr<Aiocb> = AtomicPtr::new(ptr::null_mut());

static RUNS: AtomicUsize = AtomicUsize::new(0);
/// The number of the check that has failed, or 0.
static WRONG: AtomicU32 = AtomicU32::new(0);

/// Makes the calls. It checks without panicking: a panic isn't async-signal-safe.
extern "C" fn handler(_: c_int) {
    let before = errno();
    let run = RUNS.load(SeqCst);
    let [over, in_flight, busy] = [&OVER, &IN_FLIGHT, &BUSY].map(|block| block.load(SeqCst));
    let suspend =
        |list: &[*const Aiocb], timeout| aio_suspend(list.as_ptr(), list.len() as c_int, timeout);
    let short = match run % 100 {
        0 => Duration::from_millis(1),
        _ => Duration::ZERO,
    };
    let lists = [[in_flight.cast_const(), over], [busy, in_flight]];
    let checks = [
        aio_error(over) == Ok(0),
        aio_return(over) == Ok(64),
        aio_error(in_flight) == Ok(libc::EINPROGRESS),
        aio_return(in_flight) == Err(libc::EINVAL),
        matches!(aio_error(busy), Ok(0 | libc::EINPROGRESS)),
        matches!(aio_return(busy), Ok(0..) | Err(libc::EINVAL)),
        suspend(&lists[0], None) == Ok(0),
        suspend(&lists[0][..1], Some(time(short))) == Err(libc::EAGAIN),
        matches!(
            suspend(&lists[1], Some(time(short))),
            Ok(0) | Err(libc::EAGAIN)
        ),
        aio_error(ptr::null()) == Err(libc::EINVAL),
    ];
    if let Some(wrong) = checks.iter().position(|is_right| !is_right) {
        WRONG.store(wrong as u32 + 1, SeqCst);
    }
    set_errno(before);
    RUNS.store(run + 1, SeqCst);
}

/// Installs the handler, runs something while signals come to this thread, and checks that the
/// handler ran often enough.
fn interrupted(mut work: impl FnMut()) {
    let signo = libc::SIGRTMIN() + 1;
    // SAFETY: zeros are a value of the type.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is valid.
    let done = unsafe { libc::sigaction(signo, &raw const action, ptr::null_mut()) };
    assert_eq!(done, 0);
    let scratch = Scratch::new();
    let file = scratch.file("file", &[3; 4096]);
    let (reader, _writer) = pipe();
    let over = Request::read(&file, 64, 0);
    assert_eq!(over.done(), Ok(64));
    let in_flight = Request::read(&reader, 64, 0).submitted();
    OVER.store(over.at(), SeqCst);
    IN_FLIGHT.store(in_flight.at(), SeqCst);
    let (me, stops) = (my_thread(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(Relaxed) {
                let runs = RUNS.load(SeqCst);
                kill(me, signo);
                // One at a time: the thread would do nothing else if they came faster than it can
                // handle them.
                while RUNS.load(SeqCst) == runs && !stops.load(Relaxed) {
                    thread::yield_now();
                }
                // The thread goes on a little. Otherwise it would never get anything done.
                thread::sleep(Duration::from_micros(10));
            }
        });
        let started = Instant::now();
        while RUNS.load(SeqCst) < HANDLERS && started.elapsed() < Duration::from_secs(3) {
            work();
        }
        stops.store(true, SeqCst);
    });
    assert_eq!(WRONG.load(SeqCst), 0, "the number of the check");
    // On a slow machine it may be fewer than wished.
    assert!(RUNS.load(SeqCst) > 100);
    assert!(PATIENCE > Duration::from_secs(3));
}

#[test]
fn a_handler_may_interrupt_malloc() {
    alone("a_handler_may_interrupt_malloc", || {
        let scratch = Scratch::new();
        let file = scratch.file("other", &[1; 64]);
        let busy = Request::read(&file, 64, 0);
        assert_eq!(busy.done(), Ok(64));
        BUSY.store(busy.at(), SeqCst);
        interrupted(|| {
            let map: BTreeMap<usize, Vec<u8>> = (0..200).map(|n| (n, vec![1; n * 37])).collect();
            assert_eq!(map.len(), 200);
        });
    });
}

#[test]
fn a_handler_may_interrupt_the_library() {
    alone("a_handler_may_interrupt_the_library", || {
        let scratch = Scratch::new();
        let file = scratch.file("other", &[1; 4096]);
        let busy = Request::write(&file, [1; 64], 0);
        BUSY.store(busy.at(), SeqCst);
        interrupted(|| {
            assert_eq!(busy.submit(), Ok(0));
            let others = [(); 4].map(|()| Request::read(&file, 64, 0).submitted());
            let _ = program::aio_cancel(file.as_raw_fd(), others[0].at());
            while !busy.is_over() {
                thread::yield_now();
            }
            // A request that is dropped waits for its end.
            drop(others);
        });
    });
}

#[test]
fn a_handler_may_interrupt_a_wait() {
    alone("a_handler_may_interrupt_a_wait", || {
        let scratch = Scratch::new();
        let file = scratch.file("other", &[1; 64]);
        let busy = Request::read(&file, 64, 0);
        assert_eq!(busy.done(), Ok(64));
        BUSY.store(busy.at(), SeqCst);
        interrupted(|| {
            let list = [IN_FLIGHT.load(SeqCst).cast_const()];
            let timeout = Some(time(Duration::from_micros(200)));
            match aio_suspend(list.as_ptr(), 1, timeout) {
                Err(libc::EAGAIN | libc::EINTR) => {}
                other => panic!("{other:?}"),
            }
        });
    });
}
