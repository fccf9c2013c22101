//! How C programs are told that a request is over.

#![cfg(target_pointer_width = "64")]
#![allow(unsafe_code, reason = "makes C calls that std doesn't have")]

mod program;

use std::{ffi::c_void, io::Write, mem::MaybeUninit, ptr, sync::mpsc, thread, time::Duration};

use aio_posix::c::{Aiocb, Sigevent};
use program::{
    PATIENCE, Request, Scratch, aio_error, alone, catch, event, in_child, my_thread, pipe, signal,
    until,
};

#[test]
fn without_a_way_nobody_is_told() {
    let (signo, caught) = catch(1, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let of = |notify, signo| {
        let mut event = event(notify);
        event.sigev_signo = signo;
        event
    };
    for event in [
        Aiocb::new().aio_sigevent,
        of(libc::SIGEV_NONE, signo),
        of(libc::SIGEV_SIGNAL, 0),
        of(libc::SIGEV_SIGNAL, -1),
        of(libc::SIGEV_SIGNAL, 65),
        of(libc::SIGEV_SIGNAL, i32::MAX),
        of(libc::SIGEV_THREAD, signo),
        of(libc::SIGEV_THREAD_ID, 0),
        of(libc::SIGEV_THREAD_ID, signo),
        of(77, signo),
        of(-1, signo),
    ] {
        let read = Request::read(&file, 4, 0).notify(event);
        assert_eq!(read.done(), Ok(4));
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!(caught.count(), 0);
}

#[test]
fn a_signal_says_where_it_comes_from() {
    let (signo, caught) = catch(2, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    for n in 1..=300 {
        let value = usize::MAX / n;
        let read = Request::read(&file, 4, 0).notify(signal(signo, value));
        let read = read.submitted();
        until("the signal comes", || caught.count() == n);
        // The status was stored before.
        assert_eq!(read.status(), 0);
        assert_eq!((caught.code(), caught.value()), (libc::SI_ASYNCIO, value));
    }
}

#[test]
fn a_request_that_fails_tells_as_well() {
    let (signo, caught) = catch(3, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, -1).notify(signal(signo, 1));
    assert_eq!(read.done(), Err(libc::EINVAL));
    until("the signal comes", || caught.count() == 1);
}

#[test]
fn a_call_that_fails_tells_nobody() {
    let (signo, caught) = catch(4, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let read = Request::read(&file, 4, 0).notify(signal(signo, 1));
    let read = read.with(|block| block.aio_reqprio = -1);
    assert_eq!(read.submit(), Err(libc::EINVAL));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(caught.count(), 0);
}

#[test]
fn real_time_signals_are_queued() {
    let (signo, caught) = catch(5, libc::SA_RESTART);
    let (reader, mut writer) = pipe();
    let reads: Vec<_> = (0..64)
        .map(|n| Request::read(&reader, 1, 0).notify(signal(signo, n)))
        .map(Request::submitted)
        .collect();
    writer.write_all(&[1; 64]).unwrap();
    until("the signals come", || caught.count() == 64);
    assert_eq!(caught.values(), u64::MAX);
    assert!(reads.iter().all(|read| read.result() == Ok(1)));
}

#[test]
fn a_signal_that_is_blocked_stays_pending() {
    alone("a_signal_that_is_blocked_stays_pending", || {
        // In a child there is one thread, and those that it starts.
        in_child(|| {
            let signo = libc::SIGRTMIN() + 6;
            let set = only(signo);
            let scratch = Scratch::new();
            let file = scratch.file("file", b"text");
            let read = Request::read(&file, 4, 0).notify(signal(signo, 77));
            assert_eq!(read.done(), Ok(4));
            let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
            let timeout = program::time(PATIENCE);
            let place = info.as_mut_ptr();
            // SAFETY: the set and the time are valid, and `info` is writable.
            let came = unsafe { libc::sigtimedwait(&raw const set, place, &raw const timeout) };
            assert_eq!(came, signo);
            // SAFETY: the call has written it.
            let info = unsafe { info.assume_init() };
            assert_eq!(info.si_code, libc::SI_ASYNCIO);
            // SAFETY: the signal has a value.
            let value = unsafe { info.si_value() };
            assert_eq!(value.sival_ptr.addr(), 77);
        });
    });
}

/// A set with one signal, which this thread blocks from now on.
fn only(signo: i32) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is writable.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the call has written it.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: the set is valid.
    unsafe { libc::sigaddset(&raw mut set, signo) };
    // SAFETY: the set is valid. The former one isn't asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    set
}

#[test]
fn a_signal_goes_to_the_thread_that_is_named() {
    let (signo, caught) = catch(7, libc::SA_RESTART);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (sender, receiver) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            sender.send(my_thread()).unwrap();
            let _ = ended.recv();
        });
        let threads = [receiver.recv().unwrap(), my_thread()];
        for n in 0..40 {
            let thread = threads[n % 2];
            let mut event = event(libc::SIGEV_THREAD_ID);
            event.sigev_signo = signo;
            event.sigev_value = n;
            event.function = thread as usize;
            let read = Request::read(&file, 4, 0).notify(event).submitted();
            until("the signal comes", || caught.count() == n + 1);
            assert_eq!((caught.thread(), caught.value()), (thread, n));
            assert_eq!(caught.code(), libc::SI_ASYNCIO);
            assert_eq!(read.status(), 0);
        }
        drop(end);
    });
}

/// What the function of a `SIGEV_THREAD` sees.
#[derive(Debug)]
struct Seen {
    thread: libc::pid_t,
    status: program::Answer,
    stack: usize,
    blocks_signals: bool,
}

struct Watched {
    block: *mut Aiocb,
    sender: mpsc::Sender<Seen>,
}
extern "C" fn function(value: usize) {
    // SAFETY: the test passes such an address, and keeps what is there.
    let watched = unsafe { &*ptr::with_exposed_provenance::<Watched>(value) };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut stack) = (ptr::null_mut::<c_void>(), 0);
    // SAFETY: the function takes nothing.
    let me = unsafe { libc::pthread_self() };
    // SAFETY: the thread is this one, and `attributes` is writable.
    let done = unsafe { libc::pthread_getattr_np(me, attributes.as_mut_ptr()) };
    assert_eq!(done, 0);
    let attributes = attributes.as_mut_ptr();
    // SAFETY: the attributes were written, and both places are writable.
    unsafe { libc::pthread_attr_getstack(attributes, &raw mut start, &raw mut stack) };
    // SAFETY: the attributes were written.
    unsafe { libc::pthread_attr_destroy(attributes) };
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is writable.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr()) };
    // SAFETY: the call has written the set.
    let blocked = (1..=64).any(|signo| unsafe { libc::sigismember(set.as_ptr(), signo) } == 1);
    let _ = watched.sender.send(Seen {
        thread: my_thread(),
        status: aio_error(watched.block),
        stack,
        blocks_signals: blocked,
    });
}

fn call(watched: &Watched, attributes: *const libc::pthread_attr_t) -> Sigevent {
    let mut event = event(libc::SIGEV_THREAD);
    event.sigev_value = ptr::from_ref(watched).expose_provenance();
    event.function = function as *const () as usize;
    event.attributes = attributes.expose_provenance();
    event
}

/// Reads, and returns what the function saw.
fn told_by_thread(attributes: *const libc::pthread_attr_t) -> Seen {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (sender, receiver) = mpsc::channel();
    let read = Request::read(&file, 4, 0);
    let block = read.at();
    let watched = Watched { block, sender };
    let read = read.notify(call(&watched, attributes)).submitted();
    let seen = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(read.result(), Ok(4));
    assert_eq!(seen.status, Ok(0));
    assert_ne!(seen.thread, my_thread());
    assert!(receiver.recv_timeout(Duration::from_millis(5)).is_err());
    // The function has returned, or is about to: it uses the sender no more.
    seen
}

#[test]
fn a_new_thread_calls_the_function() {
    let seen = [(); 20].map(|()| told_by_thread(ptr::null()));
    assert!(seen.iter().all(|seen| !seen.blocks_signals), "{seen:?}");
}

#[test]
fn the_thread_has_the_attributes() {
    // A smaller stack would be one of another thread that is over, and as large as that.
    const STACK: usize = 24 << 20;
    for state in [libc::PTHREAD_CREATE_DETACHED, libc::PTHREAD_CREATE_JOINABLE] {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` is writable.
        let done = unsafe { libc::pthread_attr_init(attributes) };
        assert_eq!(done, 0);
        // SAFETY: the attributes were written.
        let done = unsafe { libc::pthread_attr_setstacksize(attributes, STACK) };
        assert_eq!(done, 0);
        // SAFETY: the attributes were written.
        let done = unsafe { libc::pthread_attr_setdetachstate(attributes, state) };
        assert_eq!(done, 0);
        for _ in 0..10 {
            assert_eq!(told_by_thread(attributes).stack, STACK);
        }
        // SAFETY: the attributes were written, and no request uses them any more.
        unsafe { libc::pthread_attr_destroy(attributes) };
    }
}

#[test]
fn a_list_is_also_told_of_by_a_thread() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let (sender, receiver) = mpsc::channel();
    let read = Request::read(&file, 4, 0);
    let block = read.at();
    let watched = Watched { block, sender };
    let mut event = call(&watched, ptr::null());
    let list = [block];
    let answer = program::lio_listio(libc::LIO_NOWAIT, list.as_ptr(), 1, &raw mut event);
    assert_eq!(answer, Ok(0));
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().status, Ok(0));
}

#[test]
fn the_function_may_submit() {
    extern "C" fn submit_next(value: usize) {
        // SAFETY: the test passes such an address, and keeps what is there.
        let (next, left) = unsafe { &*ptr::with_exposed_provenance::<(Request, Left)>(value) };
        if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) > 1 {
            assert_eq!(next.submit(), Ok(0));
        }
    }
    type Left = std::sync::atomic::AtomicUsize;
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let both = Box::new((Request::read(&file, 4, 0), Left::new(100)));
    let place = ptr::from_ref(&*both).expose_provenance();
    let mut event = event(libc::SIGEV_THREAD);
    event.sigev_value = place;
    event.function = submit_next as *const () as usize;
    let first = Request::read(&file, 4, 0).notify(event);
    // SAFETY: nobody uses the block yet.
    unsafe {
        (*both.0.at()).aio_sigevent = event;
    }
    assert_eq!(first.submit(), Ok(0));
    let left = || both.1.load(std::sync::atomic::Ordering::SeqCst);
    until("the last one is over", || left() == 0);
    assert_eq!(both.0.result(), Ok(4));
}
