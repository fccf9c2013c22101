//! A context that doesn't answer any more: operations end with EIO when it can be destroyed, and
//! keep their buffers for ever when it can't.

#![allow(unsafe_code, reason = "destroys a context behind its queue's back")]

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
    Errno, Op, OpError,
    error::{CloseError, QueueError, ReapError},
};
use common::{
    Fake, Spy, Tracked, Verdict, WithRing, WithoutRing, Woken, poll_once, text, tracked,
    tracked_lane, within,
};

#[test]
fn operations_end_with_eio_when_the_context_can_be_destroyed() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(100, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let waited = tracked(&queue, &drops);
        let mut polled = tracked(&queue, &drops);
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut polled, &waker).is_pending());
        // More than one turn's worth.
        for _ in 0..80 {
            drop(tracked(&queue, &drops));
        }
        let followers: Vec<_> = (0..3)
            .map(|_| {
                let pending = tracked(&queue, &drops);
                thread::spawn(move || pending.wait().result)
            })
            .collect();
        let reserving = {
            let queue = queue.clone();
            thread::spawn(move || {
                let full: Vec<_> =
                    std::iter::from_fn(|| queue.submit(std::io::stdin(), Op::fsync()).ok())
                        .collect();
                let outcome = queue.reserve().wait().map(drop);
                drop(full);
                outcome
            })
        };
        fake.until_in_flight(100);
        thread::sleep(Duration::from_millis(30));
        fake.break_down(Errno::EINVAL);
        let done = waited.wait();
        assert_eq!(done.result, Err(OpError::Failed(Errno::EIO)));
        assert!(fake.is_destroyed());
        for follower in followers {
            let result = follower.join().unwrap();
            assert_eq!(result, Err(OpError::Failed(Errno::EIO)));
        }
        assert_eq!(reserving.join().unwrap(), Err(QueueError::Closed));
        assert_eq!(woken.count(), 1);
        assert_eq!(polled.wait().result, Err(OpError::Failed(Errno::EIO)));
        drop(done);
        assert_eq!(drops.load(SeqCst), 85);
        assert_eq!(queue.in_flight(), 0);
        let back = queue.submit(std::io::stdin(), Op::fsync()).unwrap_err();
        assert_eq!(back.reason, QueueError::Closed);
    });
}

#[test]
fn a_reap_says_what_broke_and_leaves_the_rest_to_close() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let pending = tracked(&queue, &drops);
    fake.break_down(Errno::EPERM);
    assert_eq!(queue.reap(1, None), Err(ReapError::Os(Errno::EPERM)));
    assert_eq!(queue.reap(0, None), Err(ReapError::Os(Errno::EPERM)));
    assert!(!fake.is_destroyed());
    assert_eq!(queue.close(), Ok(()));
    assert!(fake.is_destroyed());
    assert_eq!(pending.wait().result, Err(OpError::Failed(Errno::EIO)));
}

#[test]
fn buffers_are_leaked_when_the_context_cannot_be_destroyed() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        drop(tracked(&queue, &drops));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let pending = tracked(&queue, &drops);
                thread::spawn(move || drop(pending.wait()))
            })
            .collect();
        let kept = tracked(&queue, &drops);
        fake.until_blocked(1);
        fake.keep(Errno::EINVAL);
        fake.break_down(Errno::EINVAL);
        for waiter in waiters {
            assert_broken(waiter.join());
        }
        fake.touch_all();
        assert_eq!(
            queue.drain(),
            Err(CloseError::Reap(Errno::EINVAL)),
            "there are some in flight for ever"
        );
        drop(queue);
        fake.touch_all();
        let panic = catch_unwind(AssertUnwindSafe(|| drop(kept.wait())));
        assert!(panic.is_err());
        fake.touch_all();
        assert_eq!(fake.in_flight().len(), 5);
        assert_eq!(drops.load(SeqCst), 0);
    });
}

#[test]
fn a_future_reads_no_ring_of_a_context_that_was_given_up() {
    within(20, || {
        let fake = Fake::new();
        let kernel = WithRing::new(fake.clone());
        let queue = common::driven_by_test(2, kernel.clone()).unwrap();
        assert!(queue.reads_ring());
        let drops = Arc::new(AtomicUsize::new(0));
        let waited = tracked(&queue, &drops);
        let mut kept = tracked(&queue, &drops);
        fake.keep(Errno::EINVAL);
        fake.break_down(Errno::EINVAL);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(waited.wait()))).is_err());
        // Whatever is there now is nothing to believe: somebody else's memory, perhaps.
        kernel.post(fake.in_flight()[1].event(64));
        assert_broken(catch_unwind(AssertUnwindSafe(|| {
            drop(poll_once(&mut kept, std::task::Waker::noop()));
        })));
        assert_eq!(drops.load(SeqCst), 0);
    });
}

#[test]
fn futures_are_woken_when_the_context_cannot_be_destroyed() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut future = tracked(&queue, &drops);
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut future, &waker).is_pending());
        let mut lane = tracked_lane(&queue, 2, &drops);
        let (lane_woken, lane_waker) = Woken::new();
        let mut context = std::task::Context::from_waker(&lane_waker);
        assert!(lane.poll_ready(&mut context).is_pending());
        let waited = tracked(&queue, &drops);
        let dropped = tracked(&queue, &drops);
        fake.keep(Errno::EINVAL);
        fake.break_down(Errno::EINVAL);
        assert_broken(catch_unwind(AssertUnwindSafe(|| drop(waited.wait()))));
        assert_eq!((woken.count(), lane_woken.count()), (1, 1));
        assert_broken(catch_unwind(AssertUnwindSafe(|| {
            drop(poll_once(&mut future, &waker));
        })));
        assert_broken(catch_unwind(AssertUnwindSafe(|| drop(lane.try_take()))));
        drop(dropped);
        drop(lane);
        drop(queue);
        fake.touch_all();
        assert_eq!(drops.load(SeqCst), 0);
    });
}

#[test]
fn a_context_that_cannot_be_destroyed_when_idle_is_an_error_of_close() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let pending = tracked(&queue, &drops);
    fake.keep(Errno::EPERM);
    let other = queue.clone();
    assert_eq!(queue.close(), Err(CloseError::Destroy(Errno::EPERM)));
    drop(other);
    assert_eq!(pending.wait().buffer.bytes[..], [Fake::BYTE; 64]);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_submitter_that_is_turned_away_while_the_context_is_given_up_keeps_its_operation() {
    within(60, || {
        for round in 0..80 {
            let fake = Fake::new();
            let queue = common::driven_by_test(16, fake.clone()).unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            let waited = tracked(&queue, &drops);
            fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
            let submitters: Vec<_> = (0..3)
                .map(|_| {
                    let (queue, drops) = (queue.clone(), Arc::clone(&drops));
                    thread::spawn(move || {
                        let mut op = Op::read(Tracked::new(64, &drops), 0);
                        loop {
                            let back = queue.submit(std::io::stdin(), op).unwrap_err();
                            if back.reason == QueueError::Closed {
                                return;
                            }
                            op = back.op;
                        }
                    })
                })
                .collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            fake.break_down(Errno::EINVAL);
            assert_eq!(waited.wait().result, Err(OpError::Failed(Errno::EIO)));
            submitters.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(queue.in_flight(), 0);
            assert_eq!(drops.load(SeqCst), 4);
            drop(queue);
        }
    });
}

#[test]
fn a_real_context_destroyed_behind_the_queues_back() {
    within(20, || {
        let spy = Spy::default();
        let queue = common::driven_by_test(4, WithoutRing(spy.clone())).unwrap();
        let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let poll = Op::poll(aio_safe::op::PollEvents::IN);
        let never = queue.submit(&reader, poll).unwrap();
        let waiter = thread::spawn(move || never.wait());
        thread::sleep(Duration::from_millis(50));
        // SAFETY: nothing is in flight but a poll, which has no buffer.
        unsafe { aio_sys::io_destroy(spy.context()) }.unwrap();
        // It may have gone with the context, but nobody knows that for sure.
        assert!(waiter.join().is_err());
        let back = queue.submit(&reader, Op::fsync()).unwrap_err();
        assert_eq!(back.reason, QueueError::Closed);
        assert_eq!(queue.close(), Err(CloseError::Closed));
    });
}

/// Checks that a wait ended with a panic that says what happened.
fn assert_broken(result: thread::Result<()>) {
    let panic = result.unwrap_err();
    let text = text(&*panic);
    assert!(text.contains("broken from outside"), "{text}");
}

#[test]
fn operations_of_lanes_end_with_eio_when_the_context_can_be_destroyed() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(120, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        // More than one turn's worth, in turns with another's; and one that is gone.
        let mut waited = tracked_lane(&queue, 40, &drops);
        let mut polled = tracked_lane(&queue, 5, &drops);
        drop(tracked_lane(&queue, 30, &drops));
        let mut followed = tracked_lane(&queue, 40, &drops);
        let handle = tracked(&queue, &drops);
        let (woken, waker) = Woken::new();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(polled.poll_ready(&mut context).is_pending());
        let file = std::io::stdin();
        let mut lane = queue.lane(1).unwrap();
        let mut pushed = lane.batch();
        pushed
            .push(&file, Op::read(Tracked::new(64, &drops), 0), 7)
            .unwrap();
        fake.complete(39);
        assert_eq!(waited.wait_ready(None), 1);
        assert_eq!(waited.try_take().unwrap().1.result, Ok(16));
        thread::scope(|scope| {
            let leader = scope.spawn(|| waited.wait_ready(None));
            fake.until_blocked(1);
            let follower = scope.spawn(|| followed.wait_ready(None));
            thread::sleep(Duration::from_millis(30));
            fake.break_down(Errno::EINVAL);
            assert_eq!(leader.join().unwrap(), 39);
            assert_eq!(follower.join().unwrap(), 40);
        });
        assert!(fake.is_destroyed());
        assert_eq!(woken.count(), 1);
        assert_eq!(polled.wait_ready(None), 5);
        for lane in [&mut waited, &mut polled, &mut followed] {
            while let Some((_, done)) = lane.wait() {
                assert_eq!(done.result, Err(OpError::Failed(Errno::EIO)));
            }
        }
        assert_eq!(handle.wait().result, Err(OpError::Failed(Errno::EIO)));
        assert_eq!(pushed.submit(), Err(QueueError::Closed));
        assert_eq!(pushed.pop().unwrap().1, 7);
        assert_eq!(drops.load(SeqCst), 2 * 115 + 2);
        assert_eq!(queue.in_flight(), 0);
    });
}

#[test]
fn buffers_of_lanes_are_leaked_when_the_context_cannot_be_destroyed() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(16, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut kept = tracked_lane(&queue, 2, &drops);
        let mut delivered = tracked_lane(&queue, 2, &drops);
        drop(tracked_lane(&queue, 2, &drops));
        fake.complete(2);
        queue.reap(1, None).unwrap();
        let lanes: Vec<_> = (0..3).map(|_| tracked_lane(&queue, 2, &drops)).collect();
        thread::scope(|scope| {
            let waiters: Vec<_> = lanes
                .into_iter()
                .map(|mut lane| scope.spawn(move || drop(lane.wait())))
                .collect();
            fake.until_blocked(1);
            fake.keep(Errno::EINVAL);
            fake.break_down(Errno::EINVAL);
            for waiter in waiters {
                assert_broken(waiter.join());
            }
        });
        fake.touch_all();
        // What was done before can be had; the rest will never be.
        assert_eq!(delivered.wait_ready(None), 2);
        assert_eq!(delivered.try_take().unwrap().1.result, Ok(16));
        for lane in [&mut kept, &mut delivered] {
            assert!(lane.wait_ready(None) > 0);
            assert_broken(catch_unwind(AssertUnwindSafe(|| drop(lane.try_take()))));
        }
        drop(delivered);
        drop(kept);
        drop(queue);
        fake.touch_all();
        assert_eq!(fake.in_flight().len(), 11);
        assert_eq!(drops.load(SeqCst), 2, "of the one that was done");
    });
}
