//! Foreign code in the turn of a runtime's reactor: it may drop queues and runtimes, panic, fork
//! and use the queue.

mod common;

use std::{
    io::Write,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Op, Pending, Queue,
    op::{CancelOutcome, FilePoll, PollEvents},
    queue::{Callback, Driver},
};
use common::{
    Does, Fork, Woken, alone, block_on, one_at_a_time, panicking_waker, poll_once, threads, within,
};
use tokio::runtime::{Builder, Runtime};

fn until(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// Queues that a reactor drives, and the runtime that has to live meanwhile.
fn queues(driver: Driver) -> (Runtime, [Queue; 2]) {
    let runtime = multi_thread();
    let inside = runtime.enter();
    let queues = [0; 2].map(|_| Queue::builder(4).driver(driver).build().unwrap());
    drop(inside);
    (runtime, queues)
}

const REACTORS: [Driver; 2] = [Driver::Tokio, Driver::AsyncIo];

/// A poll that waits with this waker, and the end that makes it ready.
fn waits(queue: &Queue, waker: &Waker) -> (Pending<FilePoll>, UnixStream, UnixStream) {
    let (reader, writer) = UnixStream::pair().unwrap();
    let mut ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    assert!(poll_once(&mut ready, waker).is_pending());
    (ready, reader, writer)
}

fn fire(mut writer: &UnixStream) {
    writer.write_all(b"x").unwrap();
}

#[test]
fn each_of_two_queues_drops_the_other() {
    within(60, || {
        for driver in REACTORS {
            let (_runtime, queues) = queues(driver);
            let dropped = Arc::new(AtomicUsize::new(0));
            let all = queues.clone();
            let others: Vec<_> = queues
                .into_iter()
                .rev()
                .map(|queue| {
                    let dropped = Arc::clone(&dropped);
                    Does::waker(
                        move || {
                            drop(queue);
                            dropped.fetch_add(1, SeqCst);
                        },
                        || (),
                    )
                })
                .collect();
            let waiting: Vec<_> = all
                .iter()
                .zip(&others)
                .map(|(queue, waker)| waits(queue, waker))
                .collect();
            drop((all, others));
            waiting.iter().for_each(|(_, _, writer)| fire(writer));
            until("both are dropped", || dropped.load(SeqCst) == 2);
            for (ready, ..) in waiting {
                assert!(ready.wait().is_ok());
            }
        }
    });
}

#[test]
fn a_waker_shuts_the_runtime_down_whose_reactor_runs_it() {
    within(60, || {
        let (runtime, [queue, other]) = queues(Driver::Tokio);
        drop(other);
        let ends = Does::waker(move || runtime.shutdown_background(), || ());
        let (first, _reader, writer) = waits(&queue, &ends);
        drop(ends);
        let (woken, waker) = Woken::new();
        let (second, _reader_too, later) = waits(&queue, &waker);
        fire(&writer);
        until("the first is over", || first.is_done());
        fire(&later);
        until("the second task is woken", || woken.count() == 1);
        assert!(first.wait().is_ok() && second.wait().is_ok());
    });
}

#[test]
fn a_queue_outlives_its_runtime_and_is_dropped_in_another() {
    within(60, || {
        for dropped_in_runtime in [false, true] {
            let (runtime, [queue, other]) = queues(Driver::Tokio);
            drop(other);
            let (woken, waker) = Woken::new();
            let (ready, _reader, writer) = waits(&queue, &waker);
            drop(runtime);
            fire(&writer);
            until("a thread drives it", || woken.count() == 1);
            if dropped_in_runtime {
                let another = multi_thread();
                another.block_on(async { drop(queue) });
            } else {
                thread::spawn(move || drop(queue)).join().unwrap();
            }
            assert!(ready.wait().is_ok());
        }
    });
}

#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "reads of /dev/zero are over later")]
fn a_waker_may_wait_submit_and_make_a_runtime() {
    within(60, || {
        for driver in REACTORS {
            let (_runtime, [queue, other]) = queues(driver);
            let over = Arc::new(AtomicUsize::new(0));
            let (uses, counts) = (queue.clone(), Arc::clone(&over));
            let waker = Does::waker(
                move || {
                    let zeros = std::fs::File::open("/dev/zero").unwrap();
                    for queue in [&uses, &other] {
                        let read = || queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                        assert_eq!(read().wait().buffer, [0; 8]);
                        assert_eq!(block_on(read()).buffer, [0; 8]);
                        queue.reap(0, None).unwrap();
                        queue.drain().unwrap();
                    }
                    // tokio refuses this where it matters, by a panic.
                    drop(multi_thread());
                    counts.fetch_add(1, SeqCst);
                },
                || (),
            );
            let (ready, _reader, writer) = waits(&queue, &waker);
            fire(&writer);
            until("the result is there", || ready.is_done());
            let (woken, waker) = Woken::new();
            let (later, _reader_too, writer) = waits(&queue, &waker);
            fire(&writer);
            until("the reactor goes on", || woken.count() == 1);
            assert!(ready.wait().is_ok() && later.wait().is_ok());
        }
    });
}

#[test]
fn the_reactor_outlives_panics() {
    alone("the_reactor_outlives_panics", || {
        for driver in REACTORS {
            let (_runtime, [queue, _other]) = queues(driver);
            for _ in 0..20 {
                let (ready, _reader, writer) = waits(&queue, &panicking_waker());
                let (woken, waker) = Woken::new();
                let (too, _reader_too, writer_too) = waits(&queue, &waker);
                fire(&writer);
                fire(&writer_too);
                until("the other task is woken", || woken.count() == 1);
                assert!(ready.wait().is_ok() && too.wait().is_ok());
            }
            assert_eq!(threads("aio-safe"), 0, "the reactor drives it still");
        }
    });
}

#[test]
fn a_child_of_the_reactors_turn_leaves_the_queue_alone() {
    let _one = one_at_a_time();
    for driver in REACTORS {
        let (_runtime, [queue, _other]) = queues(driver);
        let fork = Fork::new();
        let here = fork.clone();
        let used = queue.clone();
        let done = Arc::new(AtomicUsize::new(0));
        let set = Arc::clone(&done);
        let waker = Does::waker(
            move || {
                here.here();
                set.store(1, SeqCst);
                if here.is_in_child() {
                    here.join(|| {
                        let read = used.submit(std::io::stdin(), Op::read(vec![0; 8], 0));
                        read.is_err() && used.reap(0, None).is_err() && used.drain().is_err()
                    });
                }
            },
            || (),
        );
        let (ready, _reader, writer) = waits(&queue, &waker);
        fire(&writer);
        until("the waker has run", || done.load(SeqCst) == 1);
        fork.join(|| true);
        assert!(ready.wait().is_ok());
        let (woken, waker) = Woken::new();
        let (later, _reader_too, writer) = waits(&queue, &waker);
        fire(&writer);
        until("the reactor goes on", || woken.count() == 1);
        assert!(later.wait().is_ok());
    }
}

#[test]
fn a_callback_drops_and_cancels_itself_and_panics() {
    within(60, || {
        for driver in [Driver::Thread, Driver::Tokio, Driver::AsyncIo] {
            let (_runtime, [queue, _other]) = queues(driver);
            let calls = Arc::new(AtomicUsize::new(0));
            let (reader, writer) = UnixStream::pair().unwrap();
            let own: Arc<Mutex<Option<Callback<FilePoll>>>> = Arc::default();
            let (inside, counted) = (Arc::clone(&own), Arc::clone(&calls));
            let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            let mut place = own.lock().unwrap();
            *place = Some(ready.then(move |events| {
                let callback = inside.lock().unwrap().take().unwrap();
                assert_eq!(callback.cancel().unwrap(), CancelOutcome::TooLate);
                assert!(callback.is_called());
                drop(callback);
                counted.fetch_add(1, SeqCst);
                assert!(events.is_err(), "the function panics");
            }));
            drop(place);
            fire(&writer);
            until("it is called", || calls.load(SeqCst) == 1);
            let (woken, waker) = Woken::new();
            let (later, _reader, writer) = waits(&queue, &waker);
            fire(&writer);
            until("the driver goes on", || woken.count() == 1);
            assert!(later.wait().is_ok());
            assert_eq!((calls.load(SeqCst), queue.in_flight()), (1, 0));
        }
    });
}
