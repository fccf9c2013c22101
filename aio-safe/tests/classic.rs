//! The classic models of asynchronous I/O: polling, waiting for some of a list, a function that is
//! called, a signal. (`eventfd.rs` has event loops.) Cancelling in each.

#![allow(unsafe_code, reason = "receives signals")]

mod common;

use std::{
    fs::File,
    io::Write,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    BufResult, Errno, Op, OpError, Pending, Queue,
    error::QueueError,
    op::{CancelOutcome, FilePoll, PollEvents, Transfer},
    queue::{Driver, Signal},
};
use common::{Fake, Flag, Fork, Woken, alone, caught, poll_once, text, use_up_threads, within};

fn zeros() -> File {
    File::open("/dev/zero").unwrap()
}

fn poll(queue: &Queue, file: &UnixStream) -> Pending<FilePoll> {
    queue.submit(file, Op::poll(PollEvents::IN)).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

// Polling for the status.

#[test]
fn the_status_is_polled_until_the_operation_is_over() {
    within(20, || {
        let queue = Queue::new(1).unwrap();
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut ready = poll(&queue, &reader);
        let mut looked = 0;
        let events = loop {
            queue.reap(0, None).unwrap();
            ready = match ready.try_take() {
                Ok(events) => break events,
                Err(not_yet) => not_yet,
            };
            looked += 1;
            if looked == 10 {
                (&writer).write_all(b"x").unwrap();
            }
        };
        assert!(looked >= 10);
        assert!(events.unwrap().contains(PollEvents::IN));
    });
}

// Waiting for some or all of a list.

#[test]
fn some_of_a_list_are_waited_for_and_then_all() {
    for driver in [Driver::Thread, Driver::Caller] {
        within(20, move || {
            let queue = Queue::builder(3).driver(driver).build().unwrap();
            let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
            let mut polls: Vec<_> = pairs.iter().map(|pair| poll(&queue, &pair.0)).collect();
            let fire = |n: usize| (&pairs[n].1).write_all(b"x").unwrap();

            assert_eq!(queue.wait_for_some(&mut polls, 0, None), 0);
            let start = Instant::now();
            let timeout = Some(Duration::from_millis(30));
            assert_eq!(queue.wait_for_some(&mut polls, 1, timeout), 0);
            assert!(start.elapsed() >= Duration::from_millis(30));

            fire(1);
            assert_eq!(queue.wait_for_some(&mut polls, 1, None), 1);
            assert!(polls[1].is_done());
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(20));
                    fire(0);
                    thread::sleep(Duration::from_millis(20));
                    fire(2);
                });
                assert_eq!(queue.wait_for_some(&mut polls, usize::MAX, None), 3);
            });
            assert!(polls.into_iter().all(|done| done.try_take().is_ok()));
        });
    }
}

/// Another thread reaps what this one waits for.
#[test]
fn a_list_is_waited_for_while_other_threads_lead() {
    within(120, || {
        let queue = Queue::builder(64).driver(Driver::Caller).build().unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || {
                    let file = zeros();
                    for n in 0..2000 {
                        let read = |_| queue.submit(&file, Op::read(vec![1; 8], 0)).unwrap();
                        let mut reads: Vec<_> = (0..8).map(read).collect();
                        let min = n % 9;
                        assert!(queue.wait_for_some(&mut reads, min, None) >= min);
                        for read in reads {
                            assert_eq!(read.wait().buffer, [0; 8]);
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(queue.in_flight(), 0);
    });
}

/// The threads exchange their handles, on which tasks have waited before. Meanwhile the queue is
/// closed, every second time.
#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "reads can be cancelled"
)]
fn lists_are_waited_for_while_handles_change_threads_and_the_queue_is_closed() {
    type Read = Pending<Transfer<Vec<u8>>>;

    /// Submits, exchanges, waits and takes, until the queue is closed.
    fn work(queue: &Queue, shelf: &Mutex<Vec<Read>>, random: &mut fastrand::Rng) {
        let zeros = zeros();
        let mut mine: Vec<Read> = Vec::new();
        for _ in 0..300 {
            match queue.submit(&zeros, Op::read(vec![1; 8], 0)) {
                Ok(read) => mine.push(read),
                Err(error) if error.reason == QueueError::Closed => break,
                Err(_) => {}
            }
            {
                let mut shelf = shelf.lock().unwrap();
                match (random.u8(0..4), mine.last_mut(), shelf.last_mut()) {
                    (0, Some(_), _) => shelf.extend(mine.pop()),
                    (1, _, Some(_)) => mine.extend(shelf.pop()),
                    (2, Some(mine), Some(theirs)) => std::mem::swap(mine, theirs),
                    _ => {}
                }
            }
            if let Some(last) = mine.last_mut() {
                if poll_once(last, &Woken::new().1).is_ready() {
                    mine.pop();
                }
            }
            random.shuffle(&mut mine);
            let min = random.usize(0..4);
            let timeouts = [None, Some(Duration::ZERO), Some(Duration::MAX)];
            let timeout = timeouts[random.usize(0..3)];
            let done = queue.wait_for_some(&mut mine, min, timeout);
            assert!(done >= min.min(mine.len()) || timeout == Some(Duration::ZERO));
            let left = mine.into_iter().map(Pending::try_take);
            mine = left.filter_map(Result::err).collect();
        }
        for read in mine {
            assert_eq!(read.wait().into_result().unwrap().1, [0; 8]);
        }
    }

    within(120, || {
        for round in 0..10 {
            let queue = Queue::new(32).unwrap();
            let shelf = Arc::new(Mutex::new(Vec::new()));
            let threads: Vec<_> = (0..3)
                .map(|thread| {
                    let (queue, shelf) = (queue.clone(), Arc::clone(&shelf));
                    let mut random = fastrand::Rng::with_seed(3 * round + thread);
                    thread::spawn(move || work(&queue, &shelf, &mut random))
                })
                .collect();
            if round % 2 == 0 {
                thread::sleep(Duration::from_millis(2));
                queue.clone().close().unwrap();
            }
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            for read in shelf.lock().unwrap().drain(..) {
                assert_eq!(read.wait().buffer, [0; 8]);
            }
            assert_eq!(queue.in_flight(), 0);
        }
    });
}

#[test]
fn what_is_cancelled_counts_as_done() {
    let queue = Queue::new(2).unwrap();
    let (reader, _writer) = UnixStream::pair().unwrap();
    let mut polls = vec![poll(&queue, &reader), poll(&queue, &reader)];
    assert_eq!(polls[0].cancel().unwrap(), CancelOutcome::Cancelled);
    assert_eq!(queue.wait_for_some(&mut polls, 1, None), 1);
    assert_eq!(polls.remove(0).wait().unwrap(), PollEvents::default());
}

#[test]
fn an_operation_of_another_queue_is_refused() {
    let (queue, other) = (Queue::new(1).unwrap(), Queue::new(1).unwrap());
    let read = other.submit(zeros(), Op::read(vec![1; 8], 0)).unwrap();
    let mut reads = [read];
    let panic = caught(|| queue.wait_for_some(&mut reads, 1, None));
    assert!(text(&*panic).starts_with("an operation of another queue"));
}

#[test]
fn a_list_ends_with_a_broken_context() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let read = |_| {
        queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap()
    };
    let mut reads: Vec<_> = (0..2).map(read).collect();
    fake.break_down(Errno::EINVAL);
    assert_eq!(queue.wait_for_some(&mut reads, 2, None), 2);
    for read in reads {
        assert_eq!(read.wait().result, Err(OpError::Failed(Errno::EIO)));
    }
}

// A function that is called.

#[test]
fn the_function_is_called_by_the_thread_that_reaps() {
    within(20, || {
        let queue = Queue::new(1).unwrap();
        let (reader, writer) = UnixStream::pair().unwrap();
        let (sender, receiver) = mpsc::channel();
        let callback = poll(&queue, &reader).then(move |events| {
            let name = thread::current().name().map(str::to_owned);
            sender.send((name, events)).unwrap();
        });
        assert!(!callback.is_called());
        (&writer).write_all(b"x").unwrap();
        let (name, events) = receiver.recv().unwrap();
        assert_eq!(name.as_deref(), Some("aio-safe"));
        assert!(events.unwrap().contains(PollEvents::IN));
        assert!(callback.is_called());
        assert_eq!(callback.cancel().unwrap(), CancelOutcome::TooLate);
    });
}

#[test]
fn the_function_is_called_at_once_if_the_operation_is_over() {
    let queue = Queue::builder(1).driver(Driver::Caller).build().unwrap();
    let read = queue.submit(zeros(), Op::read(vec![1; 8], 0)).unwrap();
    queue.reap(1, None).unwrap();
    let here = thread::current().id();
    let (sender, receiver) = mpsc::channel();
    let callback = read.then(move |done| sender.send((thread::current().id(), done)).unwrap());
    let (there, BufResult { result, buffer }) = receiver.try_recv().unwrap();
    assert_eq!((there, result, buffer), (here, Ok(8), vec![0; 8]));
    assert!(callback.is_called());
}

#[test]
fn a_function_may_submit_the_next_operation() {
    fn chain(queue: Queue, left: usize, over: Arc<Flag>) {
        if left == 0 {
            return over.set();
        }
        let read = queue.submit(zeros(), Op::read(vec![1; 8], 0)).unwrap();
        read.then(move |done| {
            assert_eq!(done.buffer, [0; 8]);
            chain(queue, left - 1, over);
        });
    }
    within(20, || {
        // The queue isn't full: the slot is free before the function is called.
        let over = Arc::new(Flag::default());
        chain(Queue::new(1).unwrap(), 200, Arc::clone(&over));
        over.wait();
    });
}

/// Each operation is over when its function is given, so none is called by the reaping thread.
#[test]
fn functions_that_are_called_at_once_do_not_use_up_the_stack() {
    fn chain(queue: Queue, zeros: Arc<File>, left: usize, over: Arc<Flag>) {
        if left == 0 {
            return over.set();
        }
        let read = queue.submit(&*zeros, Op::read(vec![1; 8], 0)).unwrap();
        read.then(move |done| {
            assert_eq!(done.buffer, [0; 8]);
            chain(queue, zeros, left - 1, over);
        });
    }
    alone(
        "functions_that_are_called_at_once_do_not_use_up_the_stack",
        || {
            let over = Arc::new(Flag::default());
            let queue = Queue::new(1).unwrap();
            chain(queue, Arc::new(zeros()), 20_000, Arc::clone(&over));
            over.wait();
        },
    );
}

/// Each function reaps the operation of the next one.
#[test]
fn functions_of_each_other_do_not_use_up_the_stack() {
    fn chain(queue: &Queue, left: usize, calls: &Arc<AtomicUsize>) {
        let Some(left) = left.checked_sub(1) else {
            return;
        };
        let (queue_too, counted) = (queue.clone(), Arc::clone(calls));
        common::read(queue).then(move |_| {
            counted.fetch_add(1, SeqCst);
            chain(&queue_too, left, &counted);
            // The operation that was submitted just now is over.
            queue_too.reap(0, None).unwrap();
        });
    }
    alone("functions_of_each_other_do_not_use_up_the_stack", || {
        let queue = common::driven_by_test(2, Fake::prompt()).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        chain(&queue, 20_000, &calls);
        queue.reap(1, None).unwrap();
        assert_eq!(calls.load(SeqCst), 20_000);
    });
}

/// One panics: those whose turn comes after it are called all the same.
#[test]
fn functions_in_turn_are_called_though_one_panics() {
    let queue = common::driven_by_test(4, Fake::prompt()).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let (inner, counted) = (queue.clone(), Arc::clone(&calls));
    let first = common::read(&queue);
    queue.reap(1, None).unwrap();
    let panic = caught(|| {
        first.then(move |_| {
            let others = [0, 1].map(|_| common::read(&inner));
            while others.iter().any(|other| !other.is_done()) {
                inner.reap(0, None).unwrap();
            }
            for (n, other) in (1..).zip(others) {
                let counted = Arc::clone(&counted);
                other.then(move |_| {
                    counted.fetch_add(n, SeqCst);
                    assert_ne!(n, 1, "the second panics");
                });
            }
            assert_eq!(counted.load(SeqCst), 0, "it isn't their turn");
            counted.fetch_add(10, SeqCst);
        })
    });
    assert!(text(&*panic).contains("the second panics"));
    assert_eq!(calls.load(SeqCst), 13);
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn a_function_that_forks_leaves_those_in_turn_to_the_parent() {
    let _one = common::one_at_a_time();
    let queue = common::driven_by_test(2, Fake::prompt()).unwrap();
    let (fork, calls) = (Fork::new(), Arc::new(AtomicUsize::new(0)));
    let first = common::read(&queue);
    queue.reap(1, None).unwrap();
    let (inner, here, counted) = (queue.clone(), fork.clone(), Arc::clone(&calls));
    first.then(move |_| {
        let next = common::read(&inner);
        inner.reap(1, None).unwrap();
        next.then(move |_| {
            counted.fetch_add(1, SeqCst);
        });
        here.here();
    });
    fork.join(|| calls.load(SeqCst) == 0);
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn a_callback_is_cancelled_and_called_all_the_same() {
    within(20, || {
        let queue = Queue::new(1).unwrap();
        let (reader, _writer) = UnixStream::pair().unwrap();
        let (sender, receiver) = mpsc::channel();
        let callback = poll(&queue, &reader).then(move |events| sender.send(events).unwrap());
        assert_eq!(callback.cancel().unwrap(), CancelOutcome::Cancelled);
        assert_eq!(receiver.recv().unwrap(), Ok(PollEvents::default()));
    });
}

#[test]
fn a_function_is_called_when_the_queue_is_closed_and_once() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let calls = Arc::clone(&calls);
        let read = queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap();
        drop(read.then(move |_| {
            calls.fetch_add(1, SeqCst);
        }));
    }
    fake.complete_all();
    queue.close().unwrap();
    assert_eq!(calls.load(SeqCst), 2);
}

/// This thread waits, as nobody else can.
#[test]
fn a_function_is_called_though_no_thread_can_be_started() {
    alone(
        "a_function_is_called_though_no_thread_can_be_started",
        || {
            let queue = Queue::new(1).unwrap();
            let (reader, writer) = UnixStream::pair().unwrap();
            let (sender, receiver) = mpsc::channel();
            let ready = poll(&queue, &reader);
            let fires = thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                (&writer).write_all(b"x").unwrap();
            });
            use_up_threads();
            let callback = ready.then(move |events| sender.send(events).unwrap());
            assert!(callback.is_called());
            assert!(receiver.try_recv().unwrap().is_ok());
            fires.join().unwrap();
        },
    );
}

/// The operation is over while the handle is on its way into the callback.
#[test]
fn a_function_is_called_whenever_the_operation_is_over() {
    within(120, || {
        let queue = Queue::new(1).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        for n in 1..=2000 {
            let (reader, writer) = UnixStream::pair().unwrap();
            let ready = poll(&queue, &reader);
            let fires = thread::spawn(move || (&writer).write_all(b"x").map(|()| writer));
            let counted = Arc::clone(&calls);
            drop(ready.then(move |_| {
                counted.fetch_add(1, SeqCst);
            }));
            fires.join().unwrap().unwrap();
            drop(queue.reserve().wait().unwrap());
            while calls.load(SeqCst) < n {
                thread::yield_now();
            }
        }
    });
}

// A signal.

/// Waits for a signal that is blocked, and returns its number, code and value.
fn received(timeout: Duration) -> Option<(i32, i32, usize)> {
    let set = blocked();
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: 0,
    };
    // SAFETY: all zeros is a siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set, the place and the timeout live during the call.
    let number = unsafe { libc::sigtimedwait(&raw const set, &raw mut info, &raw const timeout) };
    if number <= 0 {
        return None;
    }
    // SAFETY: a signal with a value was received.
    let value = unsafe { info.si_value() }.sival_ptr.addr();
    Some((number, info.si_code, value))
}

/// Runs a test in a process of one thread, which has the signals blocked. So no other thread gets
/// them.
fn in_child_that_waits(test: impl FnOnce()) {
    let _one = common::one_at_a_time();
    common::in_child(|| {
        blocked();
        test();
    });
}

/// Blocks the real-time signals that the tests use, in this thread and those that it starts.
fn blocked() -> libc::sigset_t {
    // SAFETY: `sigemptyset` initialises the set.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable.
    unsafe { libc::sigemptyset(&raw mut set) };
    for n in 0..3 {
        // SAFETY: `set` is a set of signals.
        unsafe { libc::sigaddset(&raw mut set, libc::SIGRTMIN() + n) };
    }
    // SAFETY: `set` is a set of signals.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    set
}

#[test]
fn a_signal_comes_to_the_process_with_the_operations_number() {
    in_child_that_waits(|| {
        let queue = Queue::new(2).unwrap();
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut ready = poll(&queue, &reader);
        let signal = Signal::to_process(libc::SIGRTMIN()).value(77);
        ready.signal(signal);
        assert_eq!(received(Duration::ZERO), None);
        (&writer).write_all(b"x").unwrap();
        let expected = (libc::SIGRTMIN(), libc::SI_ASYNCIO, 77);
        assert_eq!(received(20 * SECOND), Some(expected));
        assert!(ready.try_take().is_ok());

        // At once, if it is over already.
        let mut read = queue.submit(zeros(), Op::read(vec![1; 8], 0)).unwrap();
        read.signal(signal.value(usize::MAX));
        assert_eq!(
            received(20 * SECOND).map(|signal| signal.2),
            Some(usize::MAX)
        );
        assert_eq!(read.wait().buffer, [0; 8]);
    });
}

#[test]
fn a_signal_comes_to_one_thread() {
    in_child_that_waits(|| {
        let queue = Queue::new(1).unwrap();
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut ready = poll(&queue, &reader);
        let (sender, receiver) = mpsc::channel();
        let other = thread::spawn(move || {
            sender
                .send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            received(20 * SECOND)
        });
        let number = libc::SIGRTMIN() + 1;
        ready.signal(Signal::to_thread(number, receiver.recv().unwrap()).value(5));
        (&writer).write_all(b"x").unwrap();
        assert_eq!(received(SECOND), None, "it isn't for this thread");
        assert_eq!(other.join().unwrap(), Some((number, libc::SI_ASYNCIO, 5)));
        assert!(ready.try_take().is_ok());
    });
}

#[test]
fn a_cancelled_operation_sends_its_signal_and_a_dropped_one_none() {
    in_child_that_waits(|| {
        let queue = Queue::new(1).unwrap();
        let (reader, _writer) = UnixStream::pair().unwrap();
        let mut cancelled = poll(&queue, &reader);
        cancelled.signal(Signal::to_process(libc::SIGRTMIN()).value(1));
        assert_eq!(cancelled.cancel().unwrap(), CancelOutcome::Cancelled);
        assert_eq!(received(20 * SECOND).map(|signal| signal.2), Some(1));

        let fake = Fake::new();
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
        let mut dropped = queue.submit(zeros(), Op::read(vec![1; 8], 0)).unwrap();
        dropped.signal(Signal::to_process(libc::SIGRTMIN()).value(2));
        drop(dropped);
        fake.complete(0);
        assert_eq!(received(SECOND), None);
    });
}

#[test]
fn a_signal_takes_the_place_of_a_waker() {
    in_child_that_waits(|| {
        let queue = Queue::new(1).unwrap();
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut ready = poll(&queue, &reader);
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut ready, &waker).is_pending());
        ready.signal(Signal::to_process(libc::SIGRTMIN()));
        (&writer).write_all(b"x").unwrap();
        assert!(received(20 * SECOND).is_some());
        assert_eq!(woken.count(), 0);
    });
}
