//! Draining and closing: everything in flight is waited for, abandoned or not, and nobody is left
//! behind asleep.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Op, OpError, Queue,
    error::{CloseError, QueueError, ReapError},
    op::PollEvents,
};
use common::{
    Bytes, Fake, Flag, Scratch, Tracked, Verdict, Woken, block_on, pattern, poll_once, read, within,
};

const A_WHILE: Duration = Duration::from_millis(50);

#[test]
fn an_abandoned_write_has_landed_when_drain_returns() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    let queue = Queue::new(8).unwrap();
    let bytes = pattern(100_000);
    drop(queue.submit(&file, Op::write(bytes.clone(), 0)).unwrap());
    queue.drain().unwrap();
    assert_eq!(std::fs::read(scratch.path("file")).unwrap(), bytes);
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn drain_waits_for_what_was_abandoned() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        for offset in 0..3 {
            let write = Op::write(Tracked::new(64, &drops), offset);
            drop(queue.submit(std::io::stdin(), write).unwrap());
        }
        let drained = Arc::new(AtomicBool::new(false));
        let drainer = {
            let (queue, drained) = (queue.clone(), Arc::clone(&drained));
            thread::spawn(move || {
                queue.drain().unwrap();
                drained.store(true, SeqCst);
            })
        };
        for place in [1, 0] {
            fake.until_blocked(1);
            fake.complete(place);
            thread::sleep(A_WHILE);
            assert!(!drained.load(SeqCst), "there are more in flight");
        }
        fake.complete(0);
        drainer.join().unwrap();
        assert_eq!(drops.load(SeqCst), 3);
    });
}

#[test]
fn drain_goes_on_when_a_queue_is_idle_for_a_moment_only() {
    // On a busy machine each round takes as long as `reap` waits at most.
    within(120, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let device = {
            let (fake, done) = (fake.clone(), Arc::clone(&done));
            thread::spawn(move || {
                while !done.load(SeqCst) {
                    fake.complete_all();
                    thread::yield_now();
                }
            })
        };
        let drainer = {
            let (queue, done) = (queue.clone(), Arc::clone(&done));
            thread::spawn(move || {
                while !done.load(SeqCst) {
                    queue.drain().unwrap();
                }
            })
        };
        for _ in 0..3000 {
            // The queue is full when the device got no processor for a few rounds.
            let submit = || queue.submit(std::io::stdin(), Op::read(vec![0; 8], 0)).ok();
            let read = std::iter::repeat_with(|| {
                let read = submit();
                queue.reap(1, Some(Duration::from_millis(20))).unwrap();
                read
            });
            drop(read.flatten().next());
        }
        done.store(true, SeqCst);
        fake.complete_all();
        drainer.join().unwrap();
        device.join().unwrap();
    });
}

#[test]
fn drain_ends_when_the_last_operation_is_refused_and_somebody_else_reaps() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (inside, go_on) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        {
            let (inside, go_on) = (Arc::clone(&inside), Arc::clone(&go_on));
            fake.on_submit(move |_| {
                inside.set();
                go_on.wait();
                Verdict::Refuse(Errno::EBADF)
            });
        }
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || queue.reap(1, None))
        };
        fake.until_blocked(1);
        let submitter = {
            let queue = queue.clone();
            thread::spawn(move || {
                let read = Op::read(vec![0; 8], 0);
                queue.submit(std::io::stdin(), read).unwrap().wait().result
            })
        };
        inside.wait();
        let drainer = {
            let queue = queue.clone();
            thread::spawn(move || queue.drain())
        };
        thread::sleep(A_WHILE);
        assert!(!drainer.is_finished(), "the kernel hasn't answered yet");
        go_on.set();
        assert_eq!(
            submitter.join().unwrap(),
            Err(OpError::Refused(Errno::EBADF))
        );
        drainer.join().unwrap().unwrap();
        // The reaper still waits: nothing came for it.
        fake.on_submit(|_| Verdict::Accept);
        fake.set_prompt(true);
        queue.close().unwrap();
        assert_eq!(reaper.join().unwrap(), Err(ReapError::Closed));
    });
}

#[test]
fn drain_without_anything_in_flight_returns_at_once() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    queue.drain().unwrap();
    assert_eq!(fake.waits(), 0);
}

#[test]
fn close_waits_and_destroys_and_leaves_results() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let read = queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap();
        let closer = thread::spawn(move || queue.close());
        fake.until_blocked(1);
        thread::sleep(A_WHILE);
        assert!(!fake.is_destroyed() && !closer.is_finished());
        fake.complete(0);
        closer.join().unwrap().unwrap();
        assert!(fake.is_destroyed());
        assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn other_handles_of_a_closed_queue_say_so() {
    let queue = Queue::new(4).unwrap();
    let other = queue.clone();
    queue.close().unwrap();
    let back = other
        .submit(std::io::stdin(), Op::read(vec![7; 3], 0))
        .unwrap_err();
    assert_eq!(back.reason, QueueError::Closed);
    assert_eq!(back.op.into_payload().into_buffer(), [7; 3]);
    let file = std::fs::File::open("/dev/zero").unwrap();
    let mut batch = other.batch();
    let back = batch.push(&file, Op::read(vec![0; 8], 0)).unwrap_err();
    assert_eq!(back.reason, QueueError::Closed);
    drop(batch);
    assert_eq!(other.reserve().wait().unwrap_err(), QueueError::Closed);
    assert!(matches!(
        poll_once(&mut other.reserve(), std::task::Waker::noop()),
        Poll::Ready(Err(QueueError::Closed))
    ));
    assert_eq!(other.reap(0, None), Err(ReapError::Closed));
    assert_eq!(other.reap(1, None), Err(ReapError::Closed));
    assert_eq!(other.in_flight(), 0);
    assert_eq!(other.drain(), Err(CloseError::Closed));
    assert_eq!(other.close(), Err(CloseError::Closed));
}

#[test]
fn a_full_queue_that_is_closed_says_that_it_is_closed() {
    let queue = common::driven_by_test(2, Fake::prompt()).unwrap();
    let file = std::io::stdin();
    let held = [0; 2].map(|_| read(&queue));
    let mut joined = queue.reserve();
    let (woken, waker) = Woken::new();
    assert!(poll_once(&mut joined, &waker).is_pending());
    queue.clone().close().unwrap();
    assert_eq!(woken.count(), 1);
    let reasons = [
        queue.submit(&file, Op::fsync()).unwrap_err().reason,
        queue
            .batch()
            .push(&file, Op::read(vec![0; 8], 0))
            .unwrap_err()
            .reason,
        queue.reserve().wait().unwrap_err(),
        queue
            .reserve()
            .wait_timeout(Duration::from_millis(5))
            .unwrap_err(),
        block_on(queue.reserve()).unwrap_err(),
        block_on(joined).unwrap_err(),
        queue.lane::<Bytes, ()>(1).unwrap_err(),
        queue.lane::<Bytes, ()>(3).unwrap_err(),
    ];
    assert_eq!(reasons, [QueueError::Closed; 8]);
    assert_eq!(queue.drain(), Err(CloseError::Closed));
    assert_eq!(queue.reaper().reap(1, None), Err(ReapError::Closed));
    for read in held {
        assert_eq!(read.wait().result, Ok(8));
    }
}

#[test]
fn what_had_slots_before_the_queue_was_closed_says_that_it_is_closed() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let permit = queue.reserve().wait().unwrap();
    let mut batch = queue.batch();
    batch.expect_more(3);
    batch.push(&file, Op::read(vec![0; 8], 0)).unwrap();
    let mut lane = queue.lane::<Bytes, u64>(2).unwrap();
    queue.clone().close().unwrap();
    let back = permit.submit(&file, Op::read(vec![7; 3], 0)).unwrap_err();
    assert_eq!(back.reason, QueueError::Closed);
    assert_eq!(back.op.into_payload().into_buffer(), [7; 3]);
    assert_eq!(batch.submit(&mut Vec::new()), Err(QueueError::Closed));
    let mut pushed = lane.batch();
    common::push(&mut pushed, &file, 0);
    assert_eq!(pushed.submit(), Err(QueueError::Closed));
    assert_eq!(fake.submits(), 0);
}

#[test]
fn a_batch_that_was_begun_keeps_its_operations_when_the_queue_is_closed() {
    let queue = Queue::new(4).unwrap();
    let other = queue.clone();
    let file = std::fs::File::open("/dev/zero").unwrap();
    let mut batch = other.batch();
    batch.push(&file, Op::read(vec![7; 8], 0)).unwrap();
    queue.close().unwrap();
    let mut handles = Vec::new();
    assert_eq!(batch.submit(&mut handles), Err(QueueError::Closed));
    assert_eq!((batch.len(), handles.len()), (1, 0));
    let op = batch.pop().unwrap();
    assert_eq!(op.into_payload().into_buffer(), [7; 8]);
}

#[test]
fn close_ends_a_reap_of_another_thread_on_linux() {
    within(20, || {
        for wait in [None, Some(Duration::from_secs(60))] {
            for threads in [1, 3] {
                close_ends_reaps(Queue::new(4).unwrap(), threads, wait);
            }
        }
    });
}

#[test]
fn close_ends_a_reap_of_another_thread_on_a_fake() {
    within(20, || {
        for threads in [1, 3] {
            let fake = Fake::prompt();
            let queue = common::driven_by_test(4, fake.clone()).unwrap();
            close_ends_reaps(queue, threads, None);
            assert!(fake.is_destroyed());
        }
    });
}

fn close_ends_reaps(queue: Queue, threads: usize, wait: Option<Duration>) {
    let reapers: Vec<_> = (0..threads)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || queue.reap(1, wait))
        })
        .collect();
    thread::sleep(A_WHILE);
    queue.close().unwrap();
    for reaper in reapers {
        assert_eq!(reaper.join().unwrap(), Err(ReapError::Closed));
    }
}

#[test]
fn close_cancels_polls_that_would_never_end() {
    within(20, || {
        let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let queue = Queue::new(4).unwrap();
        let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        queue.close().unwrap();
        assert_eq!(poll.wait(), Ok(PollEvents::default()));
    });
}

#[test]
fn submissions_that_meet_a_closing_queue_are_carried_out_or_handed_back() {
    within(30, || {
        for _ in 0..200 {
            let fake = Fake::prompt();
            let queue = common::driven_by_test(8, fake.clone()).unwrap();
            let submitters: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    thread::spawn(move || {
                        let mut done = 0;
                        loop {
                            match queue.submit(std::io::stdin(), Op::read(vec![0; 8], 0)) {
                                Ok(read) => assert_eq!(read.wait().buffer, [Fake::BYTE; 8]),
                                Err(back) => {
                                    assert_eq!(back.reason, QueueError::Closed);
                                    return done;
                                }
                            }
                            done += 1;
                        }
                    })
                })
                .collect();
            thread::yield_now();
            queue.close().unwrap();
            assert!(fake.is_destroyed());
            let carried_out: usize = submitters.into_iter().map(|t| t.join().unwrap()).sum();
            assert!(fake.submits() >= carried_out);
        }
    });
}
