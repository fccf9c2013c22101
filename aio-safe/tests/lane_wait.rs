//! Waiting for a lane's results, in threads and in tasks: by whoever reaps, and nobody is left
//! behind asleep.

mod common;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Errno, Op, Queue};
use common::{
    Fake, Flag, Reads, Scratch, Verdict, WithRing, Woken, block_on, direct_file, lane_of, numbered,
    pattern, poll_lane, poll_once, submit, submit_reads, within,
};

const A_WHILE: Duration = Duration::from_millis(30);

/// Submits as many operations as there are slots.
fn refill(lane: &mut Reads) {
    let room = lane.room() as u64;
    submit_reads(lane, 0..room);
}

#[test]
fn nothing_in_flight_is_nothing_to_wait_for() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let mut lane: Reads = queue.lane(2).unwrap();
        for _ in 0..2 {
            assert_eq!(lane.wait_ready(None), 0);
            assert!(lane.wait().is_none());
            assert_eq!(poll_lane(&mut lane, Waker::noop()), Poll::Ready(0));
            assert!(block_on(lane.next()).is_none());
            // Nor if something was pushed, and not submitted.
            let file = std::io::stdin();
            let (op, n) = numbered(0);
            let mut batch = lane.batch();
            batch.push(&file, op, n).unwrap();
            batch.clear();
        }
        assert_eq!(fake.waits(), 0);
        refill(&mut lane);
        fake.complete_all();
        assert!(lane.wait().is_some() && lane.wait().is_some() && lane.wait().is_none());
    });
}

#[test]
fn a_reap_keeps_to_its_time() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 2);
        for millis in [0, 1, 7, 40] {
            let timeout = Duration::from_millis(millis);
            let start = Instant::now();
            assert_eq!(lane.wait_ready(Some(timeout)), 0);
            assert!(start.elapsed() >= timeout, "{millis} ms");
        }
        // As a follower, too.
        thread::scope(|scope| {
            let leader = scope.spawn(|| queue.reap(1, None));
            fake.until_blocked(1);
            let start = Instant::now();
            assert_eq!(lane.wait_ready(Some(Duration::ZERO)), 0);
            assert_eq!(lane.wait_ready(Some(Duration::from_millis(40))), 0);
            assert!(start.elapsed() >= Duration::from_millis(40));
            fake.complete(0);
            leader.join().unwrap().unwrap();
        });
        assert_eq!(lane.wait_ready(Some(Duration::ZERO)), 1);
        assert_eq!(lane.wait().unwrap().0, 0);
        // What is there is taken, even without time.
        fake.complete(0);
        assert_eq!(lane.wait_ready(Some(Duration::ZERO)), 1);
        assert_eq!(lane.wait().unwrap().0, 1);
        refill(&mut lane);
        fake.complete_all();
        assert_eq!(lane.wait_ready(Some(Duration::MAX)), 2);
    });
}

#[test]
fn a_reap_without_time_makes_no_call_where_the_ring_can_be_read() {
    within(20, || {
        let fake = Fake::new();
        let kernel = WithRing::new(fake.clone());
        let queue = common::driven_by_test(2, kernel.clone()).unwrap();
        let mut lane = lane_of(&queue, 2);
        assert_eq!(
            (lane.wait_ready(Some(Duration::ZERO)), fake.waits()),
            (0, 0)
        );
        kernel.post(fake.carry_out(1, None));
        assert_eq!(lane.wait_ready(Some(Duration::ZERO)), 1);
        assert_eq!(lane.try_take().unwrap().0, 1);
        assert_eq!(lane.wait_ready(Some(Duration::ZERO)), 0);
        kernel.post(fake.carry_out(0, None));
        assert_eq!(lane.wait().unwrap().0, 0);
        assert_eq!(fake.waits(), 0);
    });
}

#[test]
fn a_reap_that_is_not_served_in_time_is_served_later() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 2);
        thread::scope(|scope| {
            let reaper = scope.spawn(|| lane.wait_ready(Some(Duration::from_secs(10))));
            fake.until_blocked(1);
            thread::sleep(A_WHILE);
            assert!(!reaper.is_finished());
            fake.complete(1);
            assert_eq!(reaper.join().unwrap(), 1);
        });
        assert_eq!(lane.try_take().unwrap().0, 1);
        fake.complete(0);
    });
}

#[test]
fn what_others_reap_arrives() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(200, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 150);
        fake.complete(3);
        thread::scope(|scope| scope.spawn(|| queue.reap(1, None).unwrap()).join().unwrap());
        let waits = fake.waits();
        assert_eq!(lane.results(), 0, "nobody looked");
        assert!(lane.has_results());
        assert_eq!((lane.wait_ready(None), lane.results()), (1, 1));
        assert_eq!(lane.try_take().unwrap().0, 3);
        assert!(lane.try_take().is_none() && !lane.has_results());
        fake.complete_all();
        thread::scope(|scope| scope.spawn(|| queue.drain().unwrap()).join().unwrap());
        assert!(fake.waits() > waits);
        let waits = fake.waits();
        for left in (0..149).rev() {
            let (n, done) = lane.wait().unwrap();
            assert!(n != 3 && done.buffer == [Fake::BYTE; 8]);
            assert_eq!((lane.results(), lane.in_flight()), (left, left));
        }
        assert!(lane.wait().is_none());
        assert_eq!(fake.waits(), waits, "all were there");
        // By somebody who waits for a handle.
        refill(&mut lane);
        let read = queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap();
        fake.complete_all();
        thread::scope(|scope| drop(scope.spawn(|| read.wait()).join().unwrap()));
        queue.reap(0, None).unwrap();
        assert!(lane.has_results());
        assert_eq!(lane.results(), 150);
    });
}

#[test]
fn who_waits_is_served_by_who_reaps_or_becomes_it() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut first = lane_of(&queue, 2);
        let mut second = lane_of(&queue, 2);
        thread::scope(|scope| {
            let leader = scope.spawn(|| first.wait().unwrap());
            fake.until_blocked(1);
            let follower = scope.spawn(|| {
                let served = second.wait().unwrap().0;
                (served, second.wait().unwrap().0)
            });
            thread::sleep(A_WHILE);
            // The follower's: the leader hands it over, and goes on.
            fake.complete(2);
            fake.until_blocked(1);
            thread::sleep(A_WHILE);
            assert!(!leader.is_finished() && !follower.is_finished());
            // The leader's: the follower is the next one to reap.
            fake.complete(1);
            assert_eq!(leader.join().unwrap().0, 1);
            fake.until_blocked(1);
            assert!(!follower.is_finished());
            fake.complete(1);
            assert_eq!(follower.join().unwrap(), (0, 1));
        });
        fake.complete_all();
        assert_eq!(first.wait().unwrap().0, 0);
    });
}

#[test]
fn each_lane_gets_its_own_whoever_reaps() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(40, fake.clone()).unwrap();
        let mut lanes: Vec<_> = (0..3).map(|_| queue.lane(8).unwrap()).collect();
        let file = std::io::stdin();
        let mut handles = Vec::new();
        for n in 0..24_u64 {
            let lane = &mut lanes[n as usize % 3];
            submit(lane, &file, [numbered(n)]);
            if n % 4 == 0 {
                handles.push(queue.submit(&file, Op::read(vec![0; 8], n)).unwrap());
            }
        }
        // Turn and turn about, in one turn of the reaper, who is one of them.
        fake.complete_all();
        assert_eq!(lanes[1].wait_ready(None), 8);
        for (which, lane) in lanes.iter_mut().enumerate() {
            assert!(lane.has_results());
            assert_eq!(lane.results(), 8, "lane {which}");
            for n in 0..8 {
                assert_eq!(lane.try_take().unwrap().0, n * 3 + which as u64);
            }
        }
        assert!(handles.iter().all(aio_safe::Pending::is_done));
        assert_eq!(fake.waits(), 1);
    });
}

#[test]
fn what_is_in_the_ring_is_taken_without_a_call() {
    let fake = Fake::new();
    let kernel = WithRing::new(fake.clone());
    let queue = common::driven_by_test(8, kernel.clone()).unwrap();
    let mut lane = lane_of(&queue, 4);
    let mut other = lane_of(&queue, 2);
    for _ in 0..2 {
        kernel.post(fake.carry_out(3, None));
    }
    assert!(!lane.has_results() && !other.has_results());
    assert_eq!(lane.wait_ready(None), 1);
    assert_eq!(lane.try_take().unwrap().0, 3);
    assert!(other.has_results());
    assert_eq!(poll_lane(&mut other, Waker::noop()), Poll::Ready(1));
    assert_eq!(other.try_take().unwrap().0, 0);
    // By polling, with a waker stored before: it is not needed.
    let (woken, waker) = Woken::new();
    assert!(poll_lane(&mut lane, &waker).is_pending());
    kernel.post(fake.carry_out(0, None));
    assert_eq!(poll_lane(&mut lane, &waker), Poll::Ready(1));
    assert_eq!(lane.try_take().unwrap().0, 0);
    kernel.post(fake.carry_out(0, None));
    assert_eq!(poll_lane(&mut other, Waker::noop()), Poll::Pending);
    assert_eq!((fake.waits(), woken.count()), (0, 0));
    // Nor does it keep a later one from being woken.
    let (later, later_waker) = Woken::new();
    assert_eq!(lane.try_take().unwrap().0, 1);
    assert!(poll_lane(&mut lane, &later_waker).is_pending());
    kernel.post(fake.carry_out(0, None));
    assert_eq!(queue.reap(0, None), Ok(1));
    assert_eq!((woken.count(), later.count()), (0, 1));
    drop((waker, later_waker));
    assert_eq!(
        (Arc::strong_count(&woken), Arc::strong_count(&later)),
        (1, 1)
    );
    fake.complete_all();
}

#[test]
fn a_task_is_woken_by_whoever_reaps() {
    within(30, || {
        let scratch = Scratch::new();
        let bytes = pattern(8192);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(8).unwrap();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        let mut lane = queue.lane(3).unwrap();
        let mut next = 0;
        let mut seen = 0;
        while seen < 300 {
            let room = lane.room() as u64;
            let op = |n| (Op::read(vec![0; 192], n * 20), n);
            submit(&mut lane, &file, (next..next + room).map(op));
            next += room;
            let (n, done) = block_on(lane.next()).unwrap();
            assert_eq!(done.result, Ok(192));
            assert_eq!(done.buffer, bytes[n as usize * 20..][..192]);
            seen += 1;
        }
        drop(lane);
        queue.close().unwrap();
        reaper.join().unwrap();
    });
}

#[test]
fn the_latest_waker_counts() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut lane = lane_of(&queue, 2);
    let (first, first_waker) = Woken::new();
    let (second, second_waker) = Woken::new();
    assert!(poll_lane(&mut lane, &first_waker).is_pending());
    assert!(poll_lane(&mut lane, &first_waker).is_pending());
    {
        let mut next = pin!(lane.next());
        assert!(poll_once(&mut next, &second_waker).is_pending());
    }
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
    // Once: it hasn't asked again.
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
    // The one that was replaced is let go, and so is the one that was woken.
    drop((first_waker, second_waker));
    assert_eq!(
        (Arc::strong_count(&first), Arc::strong_count(&second)),
        (1, 1)
    );
    assert_eq!(poll_lane(&mut lane, Waker::noop()), Poll::Ready(2));
}

#[test]
fn a_refusal_makes_a_task_ready_and_a_dropped_lane_lets_its_waker_go() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut lane = lane_of(&queue, 1);
    let (woken, waker) = Woken::new();
    assert!(poll_lane(&mut lane, &waker).is_pending());
    let mut refused: Reads = queue.lane(1).unwrap();
    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    refill(&mut refused);
    assert_eq!(poll_lane(&mut refused, Waker::noop()), Poll::Ready(1));
    assert!(block_on(refused.next()).unwrap().1.result.is_err());
    drop(lane);
    drop(waker);
    assert_eq!((Arc::strong_count(&woken), woken.count()), (1, 0));
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(woken.count(), 0);
}

#[test]
fn a_lane_that_was_polled_can_be_waited_for() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (woken, waker) = Woken::new();
        let mut lane: Reads = queue.lane(1).unwrap();
        for as_follower in [false, true] {
            refill(&mut lane);
            assert!(poll_lane(&mut lane, &waker).is_pending());
            thread::scope(|scope| {
                let leader = as_follower.then(|| {
                    let leader = scope.spawn(|| queue.reap(1, None));
                    fake.until_blocked(1);
                    leader
                });
                let waiter = scope.spawn(|| lane.wait().unwrap());
                thread::sleep(A_WHILE);
                fake.until_blocked(1);
                fake.complete(0);
                assert_eq!(waiter.join().unwrap().1.buffer, [Fake::BYTE; 8]);
                if let Some(leader) = leader {
                    leader.join().unwrap().unwrap();
                }
            });
        }
        assert_eq!(woken.count(), 0, "the last call was another");
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1);
        // And the other way round.
        refill(&mut lane);
        assert_eq!(lane.wait_ready(Some(Duration::from_millis(5))), 0);
        let (woken, waker) = Woken::new();
        assert!(poll_lane(&mut lane, &waker).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(poll_lane(&mut lane, &waker), Poll::Ready(1));
    });
}

#[test]
fn a_signal_does_not_end_a_wait() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 1);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| lane.wait_ready(None));
            for _ in 0..5 {
                fake.until_blocked(1);
                fake.interrupt(Errno::EINTR);
            }
            fake.until_blocked(1);
            assert!(!waiter.is_finished());
            fake.complete(0);
            assert_eq!(waiter.join().unwrap(), 1);
        });
    });
}

#[test]
fn direct_reads_are_waited_for_a_little_at_a_time() {
    const LEN: usize = 2 << 20;
    within(60, || {
        let scratch = Scratch::new();
        let bytes: Vec<_> = (0..4).flat_map(|n| vec![n; LEN]).collect();
        let Some(file) = direct_file(&scratch, "file", &bytes) else {
            return;
        };
        let queue = Queue::new(4).unwrap();
        let mut lane = queue.lane(4).unwrap();
        let op = |n| {
            let buffer = aio_safe::AlignedBuf::zeroed(LEN, 4096).unwrap();
            (Op::read(buffer, (n * LEN) as u64), n)
        };
        submit(&mut lane, &file, (0..4).map(op));
        let mut taken = 0;
        while lane.in_flight() > 0 {
            lane.wait_ready(Some(Duration::from_micros(50)));
            while let Some((n, done)) = lane.try_take() {
                assert_eq!(done.result, Ok(LEN));
                assert!(done.buffer[..] == bytes[n * LEN..][..LEN], "read {n}");
                taken += 1;
            }
        }
        assert_eq!(taken, 4);
    });
}

#[test]
fn wakers_that_change_while_completions_come_are_never_lost() {
    within(60, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(4, fake).unwrap();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        let mut lane: Reads = queue.lane(3).unwrap();
        for n in 0..20_000 {
            refill(&mut lane);
            // Replaced a few times, each time by another; then waited for by the last, in either
            // way.
            for _ in 0..n % 4 {
                let (_, waker) = Woken::new();
                let _ = poll_lane(&mut lane, &waker);
            }
            let (_, done) = match n % 3 {
                0 => lane.wait(),
                _ => block_on(lane.next()),
            }
            .expect("something is in flight");
            assert_eq!(done.buffer, [Fake::BYTE; 8]);
        }
        while lane.wait().is_some() {}
        drop(lane);
        queue.close().unwrap();
        reaper.join().unwrap();
    });
}

#[test]
fn threads_that_wait_for_their_lanes_reap_for_each_other() {
    within(60, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(32, fake.clone()).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let over = Flag::default();
        thread::scope(|scope| {
            for which in 0..4_usize {
                let (queue, done, over) = (&queue, Arc::clone(&done), &over);
                scope.spawn(move || {
                    let mut lane: Reads = queue.lane(1 + which as u32 * 2).unwrap();
                    for n in 0..3_000 {
                        refill(&mut lane);
                        let taken = match (n + which) % 3 {
                            0 => lane.wait_ready(None),
                            1 => loop {
                                let taken = lane.wait_ready(Some(Duration::from_micros(20)));
                                if taken > 0 {
                                    break taken;
                                }
                            },
                            _ => usize::from(lane.wait().is_some()),
                        };
                        assert!(taken > 0);
                        for _ in 0..taken {
                            lane.try_take();
                        }
                    }
                    while lane.wait().is_some() {}
                    if done.fetch_add(1, SeqCst) == 3 {
                        over.set();
                    }
                });
            }
            let (fake, done) = (fake.clone(), Arc::clone(&done));
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(7);
                while done.load(SeqCst) < 4 {
                    let len = fake.in_flight().len();
                    if len > 0 {
                        fake.complete(rng.usize(..len));
                    } else {
                        thread::yield_now();
                    }
                }
            });
            over.wait();
        });
        assert_eq!((queue.in_flight(), queue.stats().strays), (0, 0));
    });
}
