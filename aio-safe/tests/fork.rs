//! Forks: the child gets errors and disturbs nothing; the parent goes on.
//!
//! A child of a process with several threads may do little more than exit. These children use the
//! queue all the same, as programs do, and only what needs no lock of another thread's.

#![allow(unsafe_code, reason = "forks")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Op, Queue,
    error::{CloseError, QueueError, ReapError},
    op::PollEvents,
};
use common::{Fake, Tracked, Woken, in_child, poll_lane, poll_once, within};

#[test]
fn results_taken_in_a_child_give_nobody_a_slot() {
    let queue = common::driven_by_test(2, Fake::prompt()).unwrap();
    let [one, other] = [0, 1].map(|n| {
        queue
            .submit(std::io::stdin(), Op::read(vec![1; 4], n))
            .unwrap()
    });
    assert_eq!(queue.reap(2, None), Ok(2));
    let mut reserve = queue.reserve();
    let (woken, waker) = Woken::new();
    assert!(poll_once(&mut reserve, &waker).is_pending());
    in_child(|| {
        // Who waits is the parent's, and may hold the lock of the line.
        assert_eq!(one.wait().result, Ok(4));
        assert_eq!(other.wait().result, Ok(4));
        assert_eq!(woken.count(), 0, "woken in the child");
    });
    // The handles were dropped here.
    assert_eq!(woken.count(), 1);
    assert!(poll_once(&mut reserve, &waker).is_ready());
}

#[test]
fn a_child_gets_errors_and_the_parent_goes_on() {
    within(60, || {
        let queue = Queue::new(8).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        let done = queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
        assert_eq!(queue.reap(1, None), Ok(1));
        let mut batch = queue.batch();
        batch.push(&zeros, Op::read(vec![1; 4], 0)).unwrap();
        let rest: Vec<_> = (0..5).map(|_| queue.reserve().wait().unwrap()).collect();
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, std::task::Waker::noop()).is_pending());
        in_child(|| {
            let back = queue.submit(&zeros, Op::read(vec![9; 2], 0)).unwrap_err();
            assert_eq!(back.reason, QueueError::Forked);
            assert_eq!(back.op.into_payload().into_buffer(), [9; 2]);
            assert_eq!(batch.submit(&mut Vec::new()), Err(QueueError::Forked));
            assert_eq!(queue.reap(0, None), Err(ReapError::Forked));
            assert_eq!(queue.reap(1, None), Err(ReapError::Forked));
            assert_eq!(queue.drain(), Err(CloseError::Forked));
            assert_eq!(queue.clone().close(), Err(CloseError::Forked));
            let polled = poll_once(&mut reserve, std::task::Waker::noop()).map(|r| r.map(drop));
            assert_eq!(polled, std::task::Poll::Ready(Err(QueueError::Forked)));
            let reserved = queue.reserve().wait();
            assert_eq!(reserved.map(drop), Err(QueueError::Forked));
            assert_eq!(poll.cancel(), Err(Errno::EINVAL));
            let noop = std::task::Waker::noop();
            let polled = AssertUnwindSafe(|| poll_once(&mut poll, noop));
            assert!(catch_unwind(polled).is_err());
            // What was over before is there in both.
            assert_eq!(done.wait().buffer, [0; 4]);
            assert!(catch_unwind(AssertUnwindSafe(|| poll.wait())).is_err());
            drop(batch.pop());
        });
        drop((reserve, rest));
        batch.clear();
        queue.drain().unwrap();
        drop((reader, writer));
    });
}

#[test]
fn what_is_alone_in_the_ring_is_not_taken_by_a_child() {
    within(60, || {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let queue = Queue::new(4).unwrap();
        let noop = std::task::Waker::noop();
        let fails = |what: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(what)).is_err();
        for _ in 0..3 {
            // These reads are over when `io_submit` returns: the events are in the ring.
            let read = queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
            let mut read = Some(read);
            in_child(|| {
                let polled = &mut || drop(poll_once(read.as_mut().unwrap(), noop));
                assert!(fails(polled));
                let waited = &mut || drop(read.take().unwrap().wait());
                assert!(fails(waited));
            });
            assert_eq!(read.unwrap().wait().buffer, [0; 4]);

            let mut lane = queue.lane(1).unwrap();
            common::submit(&mut lane, &zeros, [(Op::read(vec![1; 4], 0), ())]);
            in_child(|| {
                assert!(fails(&mut || _ = poll_lane(&mut lane, noop)));
                assert!(fails(&mut || _ = lane.wait_ready(Some(Duration::ZERO))));
                assert!(fails(&mut || _ = lane.wait_ready(None)));
            });
            assert_eq!(lane.wait().unwrap().1.buffer, [0; 4]);
        }
        assert_eq!((queue.in_flight(), queue.stats().strays), (0, 0));
    });
}

#[test]
fn what_a_child_drops_stays_with_the_parent() {
    within(60, || {
        let queue = Queue::new(8).unwrap();
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let mut handles = [Some(poll)];
        let mut queues = [Some(queue)];
        for _ in 0..3 {
            // By reference, so that the parent keeps its own.
            let (handles, queues) = (&mut handles, &mut queues);
            // SAFETY: as in `in_child`.
            let child = unsafe { libc::fork() };
            if child == 0 {
                drop(handles[0].take());
                drop(queues[0].take());
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(0) };
            }
            let mut status = -1;
            // SAFETY: `status` is a place for an int.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0);
        }
        let [Some(queue)] = queues else {
            unreachable!()
        };
        let [Some(poll)] = handles else {
            unreachable!()
        };
        let read = queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
        assert_eq!(read.wait().buffer, [0; 4]);
        assert!(!poll.is_done(), "not cancelled by the child");
        std::io::Write::write_all(&mut &writer, b"x").unwrap();
        assert!(poll.wait().unwrap().contains(PollEvents::IN));
        assert_eq!(queue.stats().strays, 0);
        queue.close().unwrap();
    });
}

#[test]
fn a_child_may_make_a_queue_of_its_own_and_so_may_its_child() {
    fn use_one() {
        let queue = Queue::new(4).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let read = queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
        assert_eq!(read.wait().buffer, [0; 4]);
        queue.close().unwrap();
    }
    within(60, || {
        let old = Queue::new(4).unwrap();
        in_child(|| {
            use_one();
            let own = Queue::new(4).unwrap();
            in_child(|| {
                use_one();
                for queue in [&old, &own] {
                    let back = queue.submit(std::io::stdin(), Op::fsync()).unwrap_err();
                    assert_eq!(back.reason, QueueError::Forked);
                }
            });
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            let read = own.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
            assert_eq!(read.wait().buffer, [0; 4]);
        });
        use_one();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let read = old.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
        assert_eq!(read.wait().buffer, [0; 4]);
    });
}

#[test]
fn a_fork_while_other_threads_hold_every_lock_hangs_nobody() {
    within(60, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(16, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let submit = || {
            let op = Op::read(Tracked::new(16, &drops), 0);
            queue.submit(std::io::stdin(), op).unwrap()
        };
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let pending = submit();
                thread::spawn(move || drop(pending.wait()))
            })
            .collect();
        let mut polled = Some(submit());
        let (woken, waker) = Woken::new();
        assert!(poll_once(polled.as_mut().unwrap(), &waker).is_pending());
        fake.until_blocked(1);
        thread::sleep(Duration::from_millis(20));
        for _ in 0..20 {
            in_child(|| {
                // As a child's own destructors would.
                drop(polled.take());
                drop(queue.clone());
                assert_eq!(queue.reap(1, None), Err(ReapError::Forked));
                assert_eq!(drops.load(SeqCst), 0);
            });
        }
        fake.complete_all();
        waiters.into_iter().for_each(|t| t.join().unwrap());
        let polled = polled.unwrap();
        while !polled.is_done() {
            queue.reap(1, Some(Duration::from_millis(10))).unwrap();
        }
        assert_eq!(woken.count(), 1);
        drop(polled);
        assert_eq!(drops.load(SeqCst), 4);
    });
}

#[test]
fn a_child_gets_errors_of_a_lane_and_the_parent_goes_on() {
    within(60, || {
        let scratch = common::Scratch::new();
        let bytes = common::pattern(4096);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(8).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut lane = queue.lane(6).unwrap();
        let op = |n: u64| {
            let op = Op::read(Tracked::new(64, &drops), n * 64);
            (op, (n, Tracked::new(0, &drops)))
        };
        common::submit(&mut lane, &file, [op(0)]);
        assert_eq!(lane.wait_ready(None), 1);
        common::submit(&mut lane, &file, [op(1), op(2)]);
        let mut batch = lane.batch();
        let (read, value) = op(3);
        batch.push(&file, read, value).unwrap();
        in_child(|| {
            // What isn't in flight is the child's, too, as memory is.
            assert_eq!(batch.submit(), Err(QueueError::Forked));
            let (op, (n, value)) = batch.pop().unwrap();
            assert_eq!(n, 3);
            batch.push(&file, op, (n, value)).unwrap();
            assert_eq!(batch.submit(), Err(QueueError::Forked));
            while batch.pop().is_some() {}
            assert_eq!(drops.load(SeqCst), 2);
        });
        batch.submit().unwrap();
        drop(batch);
        // One is delivered, three are in flight (or over, and not reaped).
        let mut lanes = [Some(lane)];
        in_child(|| {
            let lane = lanes[0].as_mut().unwrap();
            assert_eq!(lane.batch().submit(), Err(QueueError::Forked));
            for slots in [0, 1, 100] {
                let failed = queue.lane::<aio_safe::op::Transfer<Vec<u8>>, ()>(slots);
                assert_eq!(failed.map(drop), Err(QueueError::Forked));
            }
            // What was over before is there in both.
            assert_eq!(lane.wait_ready(None), 1);
            let ((n, value), done) = lane.try_take().unwrap();
            assert_eq!((n, &done.buffer.bytes[..]), (0, &bytes[..64]));
            std::mem::forget((value, done));
            assert!(lane.try_take().is_none());
            for timeout in [None, Some(Duration::ZERO)] {
                let reap = AssertUnwindSafe(|| lane.wait_ready(timeout));
                assert!(catch_unwind(reap).is_err());
            }
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let polled = AssertUnwindSafe(|| lane.poll_ready(&mut context));
            assert!(catch_unwind(polled).is_err());
            drop(lanes[0].take());
            assert_eq!(drops.load(SeqCst), 0);
        });
        let mut lane = lanes[0].take().unwrap();
        let mut seen = [false; 4];
        while let Some(((n, _value), done)) = lane.wait() {
            assert_eq!(done.buffer.bytes[..], bytes[n as usize * 64..][..64]);
            seen[n as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
        drop(lane);
        assert_eq!((drops.load(SeqCst), queue.stats().strays), (8, 0));
        drop(
            queue
                .lane::<aio_safe::op::Transfer<Vec<u8>>, ()>(8)
                .unwrap(),
        );
    });
}

#[test]
fn a_lane_dropped_in_a_child_touches_nothing_of_the_parents() {
    within(60, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut lane = queue.lane(6).unwrap();
        let op = |n| {
            (
                Op::read(Tracked::new(64, &drops), n),
                Tracked::new(0, &drops),
            )
        };
        common::submit(&mut lane, &file, (0..3).map(op));
        fake.complete(0);
        queue.reap(1, None).unwrap();
        let (woken, waker) = Woken::new();
        // A task waits for a slot, so freeing one would wake it.
        let rest: Vec<_> = (0..2).map(|_| queue.reserve().wait().unwrap()).collect();
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, &waker).is_pending());
        let mut lanes = [Some(lane)];
        for _ in 0..3 {
            in_child(|| {
                drop(lanes[0].take());
                assert_eq!((drops.load(SeqCst), woken.count()), (0, 0));
            });
        }
        fake.touch_all();
        fake.complete_all();
        queue.reap(2, None).unwrap();
        let mut lane = lanes[0].take().unwrap();
        assert_eq!(lane.wait_ready(None), 3);
        drop(lane);
        assert_eq!((drops.load(SeqCst), woken.count()), (6, 1));
        drop((reserve, rest));
    });
}

#[test]
fn a_fork_while_a_lane_is_waited_for_and_polled_hangs_nobody() {
    within(60, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let file = std::io::stdin();
        let lane = |n| {
            let mut lane = queue.lane(2).unwrap();
            common::submit(&mut lane, &file, [(Op::read(vec![0; 8], n), n)]);
            lane
        };
        let mut waited = [lane(0), lane(1)];
        let mut polled = Some(lane(2));
        let (woken, waker) = Woken::new();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(
            polled
                .as_mut()
                .unwrap()
                .poll_ready(&mut context)
                .is_pending()
        );
        thread::scope(|scope| {
            let waiters: Vec<_> = waited
                .iter_mut()
                .map(|lane| scope.spawn(|| lane.wait().unwrap().0))
                .collect();
            fake.until_blocked(1);
            thread::sleep(Duration::from_millis(20));
            for _ in 0..20 {
                in_child(|| drop(polled.take()));
            }
            fake.complete_all();
            let served: Vec<_> = waiters.into_iter().map(|t| t.join().unwrap()).collect();
            assert_eq!(served, [0, 1]);
        });
        queue.drain().unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(polled.unwrap().wait().unwrap().0, 2);
    });
}
