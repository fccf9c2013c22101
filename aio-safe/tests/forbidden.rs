//! System calls that are forbidden, and descriptors that are used up: nothing that ends a queue
//! waits for ever.

mod common;

use std::{
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Errno, Op, Queue,
    error::ReapError,
    op::{CancelOutcome, PollEvents},
};
use common::{
    Fake, Verdict, WithoutRing, alone, forbid, read, tracked, use_up_descriptors, within,
};

const A_WHILE: Duration = Duration::from_millis(50);

/// Runs this, which may take as many milliseconds.
fn soon<R>(millis: u64, what: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = what();
    let took = start.elapsed();
    assert!(took < Duration::from_millis(millis), "it took {took:?}");
    result
}

/// Closes a queue while other threads wait for whatever comes.
fn close_under_reapers(queue: Queue, before_close: impl FnOnce()) {
    let reapers: Vec<_> = (0..2)
        .map(|n| {
            let (queue, reaper) = (queue.clone(), queue.reaper());
            thread::spawn(move || match n {
                0 => queue.reap(1, None),
                _ => {
                    drop(queue);
                    reaper.reap(1, Some(Duration::from_secs(60)))
                }
            })
        })
        .collect();
    thread::sleep(A_WHILE);
    before_close();
    soon(2500, || queue.close()).unwrap();
    for reaper in reapers {
        assert_eq!(reaper.join().unwrap(), Err(ReapError::Closed));
    }
}

#[test]
fn close_ends_a_reap_of_another_thread_that_had_no_descriptor() {
    let test = "close_ends_a_reap_of_another_thread_that_had_no_descriptor";
    alone(test, || {
        let queues = [
            Queue::new(4).unwrap(),
            common::driven_by_test(4, WithoutRing::default()).unwrap(),
        ];
        use_up_descriptors();
        for queue in queues {
            close_under_reapers(queue, || ());
        }
    });
}

#[test]
fn close_ends_a_reap_of_another_thread_when_no_descriptor_is_left() {
    let test = "close_ends_a_reap_of_another_thread_when_no_descriptor_is_left";
    alone(test, || {
        let queue = Queue::new(4).unwrap();
        close_under_reapers(queue, use_up_descriptors);
    });
}

#[test]
fn close_ends_a_reap_of_another_thread_where_io_submit_became_forbidden() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        close_under_reapers(queue, || {
            fake.on_submit(|_| Verdict::Refuse(Errno::EPERM));
        });
        assert!(fake.is_destroyed());
    });
}

#[test]
fn close_ends_a_reap_of_another_thread_where_a_filter_forbids_io_submit() {
    let test = "close_ends_a_reap_of_another_thread_where_a_filter_forbids_io_submit";
    alone(test, || {
        let queue = Queue::new(4).unwrap();
        close_under_reapers(queue, || forbid(libc::SYS_io_submit, libc::EPERM));
    });
}

#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "reads of /dev/zero are over later")]
fn whoever_waits_for_room_without_a_descriptor_notices_its_slot_soon() {
    let test = "whoever_waits_for_room_without_a_descriptor_notices_its_slot_soon";
    alone(test, || {
        let queue = Queue::new(2).unwrap();
        let (reader, _writer) = UnixStream::pair().unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let done = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
        // Without waiting: a thread that waits makes the pipe of the kick.
        assert_eq!(queue.reap(0, None), Ok(1));
        let never = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        use_up_descriptors();
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || queue.reserve().wait().map(drop))
        };
        thread::sleep(A_WHILE);
        soon(500, || {
            drop(done);
            waiter.join().unwrap().unwrap();
        });
        drop(never);
    });
}

/// How a queue ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Drop,
}

fn end(queue: Queue, how: End) {
    match how {
        End::Close => queue.close().unwrap(),
        End::Drop => drop(queue),
    }
}

#[test]
fn a_queue_ends_under_a_poll_that_cannot_be_cancelled() {
    within(20, || {
        for how in [End::Close, End::Drop] {
            let fake = Fake::new();
            fake.forbid_cancel(Errno::EPERM);
            let queue = common::driven_by_test(4, fake.clone()).unwrap();
            let mut never = queue
                .submit(std::io::stdin(), Op::poll(PollEvents::IN))
                .unwrap();
            assert_eq!(never.cancel(), Err(Errno::EPERM));
            let abandoned = queue.submit(std::io::stdin(), Op::poll(PollEvents::OUT));
            drop(abandoned.unwrap());
            soon(500, || end(queue, how));
            assert!(fake.is_destroyed(), "{how:?}");
            assert_eq!(never.wait(), Ok(PollEvents::default()), "{how:?}");
        }
    });
}

#[test]
fn reads_under_a_poll_that_cannot_be_cancelled_keep_their_results() {
    within(20, || {
        for how in [End::Close, End::Drop] {
            let fake = Fake::new();
            fake.forbid_cancel(Errno::EPERM);
            let queue = common::driven_by_test(4, fake.clone()).unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            let never = queue
                .submit(std::io::stdin(), Op::poll(PollEvents::IN))
                .unwrap();
            let reads = [0; 2].map(|_| tracked(&queue, &drops));
            let closer = thread::spawn(move || end(queue, how));
            fake.until_blocked(1);
            fake.complete(1);
            fake.until_blocked(1);
            assert!(!fake.is_destroyed(), "a read is in flight");
            fake.complete(1);
            soon(500, || closer.join().unwrap());
            for read in reads {
                let done = read.wait();
                assert_eq!(done.result, Ok(64));
                assert_eq!(done.buffer.bytes[..], [Fake::BYTE; 64]);
            }
            assert_eq!(never.wait(), Ok(PollEvents::default()));
            assert_eq!(drops.load(SeqCst), 2);
        }
    });
}

#[test]
fn a_queue_ends_while_a_thread_waits_for_a_poll_that_cannot_be_cancelled() {
    within(30, || {
        for how in [End::Close, End::Drop] {
            for kicks in [true, false] {
                let fake = Fake::new();
                fake.forbid_cancel(Errno::EPERM);
                let queue = common::driven_by_test(4, fake.clone()).unwrap();
                let never = queue
                    .submit(std::io::stdin(), Op::poll(PollEvents::IN))
                    .unwrap();
                let waiter = thread::spawn(move || never.wait());
                fake.until_blocked(1);
                if !kicks {
                    fake.on_submit(|_| Verdict::Refuse(Errno::EPERM));
                }
                soon(if kicks { 500 } else { 2500 }, || {
                    end(queue, how);
                    assert_eq!(waiter.join().unwrap(), Ok(PollEvents::default()));
                });
            }
        }
    });
}

#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "no call is made that a filter forbids"
)]
fn a_real_queue_ends_under_a_poll_where_a_filter_forbids_io_cancel() {
    let test = "a_real_queue_ends_under_a_poll_where_a_filter_forbids_io_cancel";
    alone(test, || {
        forbid(libc::SYS_io_cancel, libc::EPERM);
        let (reader, _writer) = UnixStream::pair().unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let poll = || Op::poll(PollEvents::IN);
        for how in [End::Close, End::Drop] {
            for waited_for in [false, true] {
                let queue = Queue::new(4).unwrap();
                let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                let mut never = queue.submit(&reader, poll()).unwrap();
                assert_eq!(never.cancel(), Err(Errno::EPERM));
                drop(queue.submit(&reader, poll()).unwrap());
                let outcome = if waited_for {
                    let waiter = thread::spawn(move || never.wait());
                    thread::sleep(A_WHILE);
                    soon(1500, || end(queue, how));
                    waiter.join().unwrap()
                } else {
                    soon(500, || end(queue, how));
                    never.wait()
                };
                assert_eq!(outcome, Ok(PollEvents::default()), "{how:?}");
                assert_eq!(read.wait().buffer, [0; 8]);
            }
        }
    });
}

#[test]
fn a_poll_that_cannot_be_cancelled_may_be_ready_before_the_end() {
    within(20, || {
        let fake = Fake::new();
        fake.forbid_cancel(Errno::ENOSYS);
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let mut poll = queue
            .submit(std::io::stdin(), Op::poll(PollEvents::IN))
            .unwrap();
        assert_eq!(poll.cancel(), Err(Errno::ENOSYS));
        let held = read(&queue);
        fake.complete_with(0, 1);
        let closer = thread::spawn(move || queue.close());
        fake.until_blocked(1);
        assert_eq!(poll.cancel(), Ok(CancelOutcome::TooLate));
        fake.complete(0);
        closer.join().unwrap().unwrap();
        assert_eq!(poll.wait(), Ok(PollEvents::IN));
        assert_eq!(held.wait().result, Ok(8));
    });
}
