//! Handles that outlive their queue, and queues that go while operations are in flight.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_safe::{Op, Queue};
use common::{Fake, Scratch, Tracked, Woken, pattern, poll_once, tracked, tracked_lane, within};

#[test]
fn results_are_there_after_the_queue() {
    let scratch = Scratch::new();
    let bytes = pattern(8 * 512);
    let file = scratch.file("file", &bytes);
    let queue = Queue::new(8).unwrap();
    let reads: Vec<_> = (0..8)
        .map(|n| {
            queue
                .submit(&file, Op::read(vec![0; 512], n * 512))
                .unwrap()
        })
        .collect();
    drop(queue);
    for (n, read) in reads.into_iter().enumerate() {
        assert!(read.is_done());
        let buffer = if n % 2 == 0 {
            read.wait().buffer
        } else {
            read.try_take().unwrap().buffer
        };
        assert_eq!(buffer, bytes[n * 512..][..512]);
    }
}

#[test]
fn the_shared_part_goes_with_the_last_of_queues_and_handles() {
    for last in 0..3 {
        let fake = Fake::prompt();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(4, fake).unwrap();
        let (first, second) = (tracked(&queue, &drops), tracked(&queue, &drops));
        let clone = queue.clone();
        match last {
            0 => drop((first, second, clone, queue)),
            1 => {
                drop((queue, clone, first));
                assert!(watch.strong_count() > 0);
                drop(second);
            }
            _ => {
                drop((queue, first, clone));
                assert!(watch.strong_count() > 0);
                second.wait().result.unwrap();
            }
        }
        assert_eq!(drops.load(SeqCst), 2);
        assert_eq!(watch.strong_count(), 0, "the kernel was dropped with it");
    }
}

#[test]
fn a_dropped_queue_waits_for_waiters_of_other_threads() {
    within(20, || {
        let fake = Fake::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let pending = tracked(&queue, &drops);
                thread::spawn(move || pending.wait().buffer.bytes[..] == [Fake::BYTE; 64])
            })
            .collect();
        drop(tracked(&queue, &drops));
        let mut polled = tracked(&queue, &drops);
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut polled, &waker).is_pending());
        fake.until_blocked(1);
        let dropper = thread::spawn(move || drop(queue));
        thread::sleep(Duration::from_millis(30));
        assert!(!dropper.is_finished() && !fake.is_destroyed());
        for left in (1..=6).rev() {
            fake.until_blocked(1);
            fake.complete(left / 2);
        }
        dropper.join().unwrap();
        assert!(fake.is_destroyed());
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        assert_eq!(woken.count(), 1);
        polled.wait().result.unwrap();
        assert_eq!(drops.load(SeqCst), 6);
    });
}

#[test]
fn queue_and_handles_go_at_once_in_many_threads() {
    within(60, || {
        for round in 0..300 {
            let fake = Fake::prompt();
            let watch = fake.watch();
            let drops = Arc::new(AtomicUsize::new(0));
            let queue = common::driven_by_test(8, fake).unwrap();
            let mut threads = Vec::new();
            for n in 0..4 {
                let pending = tracked(&queue, &drops);
                let queue = (n % 2 == 0).then(|| queue.clone());
                threads.push(thread::spawn(move || match (round + n) % 3 {
                    0 => drop((pending, queue)),
                    1 => drop((queue, pending.wait())),
                    _ => drop((queue, pending)),
                }));
            }
            drop(queue);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(drops.load(SeqCst), 4);
            assert_eq!(watch.strong_count(), 0);
        }
    });
}

#[test]
fn a_real_queue_dropped_with_writes_in_flight_has_written_them() {
    let scratch = Scratch::new();
    let bytes = pattern(1 << 20);
    let Some(file) = common::direct_file(&scratch, "file", &vec![0; 1 << 20]) else {
        return;
    };
    let queue = Queue::new(16).unwrap();
    for n in 0..16 {
        let mut block = aio_safe::AlignedBuf::zeroed(1 << 16, 4096).unwrap();
        block.copy_from_slice(&bytes[n << 16..][..1 << 16]);
        let write = Op::write(block, (n as u64) << 16);
        drop(queue.submit(&file, write).unwrap());
    }
    drop(queue);
    assert!(std::fs::read(scratch.path("file")).unwrap() == bytes);
}

#[test]
fn a_lane_dropped_with_writes_in_flight_has_them_written_before_the_queue_goes() {
    let scratch = Scratch::new();
    let bytes = pattern(1 << 20);
    let Some(file) = common::direct_file(&scratch, "file", &vec![0; 1 << 20]) else {
        return;
    };
    let queue = Queue::new(16).unwrap();
    let mut lane = queue.lane(16).unwrap();
    let write = |n: usize| {
        let mut block = aio_safe::AlignedBuf::zeroed(1 << 16, 4096).unwrap();
        block.copy_from_slice(&bytes[n << 16..][..1 << 16]);
        (Op::write(block, (n as u64) << 16), n)
    };
    common::submit(&mut lane, &file, (0..16).map(write));
    drop(lane);
    drop(queue);
    assert!(std::fs::read(scratch.path("file")).unwrap() == bytes);
}

#[test]
fn lanes_and_queues_go_at_once_in_many_threads() {
    within(60, || {
        for round in 0..300 {
            let fake = Fake::prompt();
            let watch = fake.watch();
            let drops = Arc::new(AtomicUsize::new(0));
            let queue = common::driven_by_test(12, fake).unwrap();
            let threads: Vec<_> = (0..4)
                .map(|n| {
                    let (queue, drops) = (queue.clone(), Arc::clone(&drops));
                    thread::spawn(move || {
                        let mut lane = tracked_lane(&queue, 3, &drops);
                        // The lane is a handle, too.
                        drop(queue);
                        match (round + n) % 3 {
                            0 => drop(lane),
                            1 => drop(lane.wait()),
                            _ => assert!(lane.wait_ready(None) > 0),
                        }
                    })
                })
                .collect();
            drop(queue);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(drops.load(SeqCst), 24);
            assert_eq!(watch.strong_count(), 0);
        }
    });
}

#[test]
fn a_lane_keeps_its_queue_open() {
    within(20, || {
        let fake = Fake::new();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut lane = tracked_lane(&queue, 3, &drops);
        drop((queue.clone(), queue));
        assert!(!fake.is_destroyed());
        fake.complete(1);
        assert_eq!(lane.wait().unwrap().1.buffer.bytes[..], [Fake::BYTE; 16]);
        // It goes on, too.
        let op = Op::read(Tracked::new(16, &drops), 0);
        common::submit(
            &mut lane,
            &std::io::stdin(),
            [(op, Tracked::new(0, &drops))],
        );
        fake.complete_all();
        assert!(lane.wait().is_some() && lane.wait().is_some());
        assert_eq!((lane.in_flight(), drops.load(SeqCst)), (1, 6));
        assert!(!fake.is_destroyed());
        drop(lane);
        assert!(fake.is_destroyed());
        drop(fake);
        assert_eq!((drops.load(SeqCst), watch.strong_count()), (8, 0));
    });
}

#[test]
fn the_last_lane_closes_its_queue_when_what_it_had_in_flight_is_over() {
    within(20, || {
        let fake = Fake::new();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let (lane, other) = (
            tracked_lane(&queue, 3, &drops),
            tracked_lane(&queue, 2, &drops),
        );
        drop(queue);
        drop(other);
        assert!(!fake.is_destroyed());
        let dropper = thread::spawn(move || drop(lane));
        fake.until_blocked(1);
        assert_eq!((dropper.is_finished(), drops.load(SeqCst)), (false, 0));
        fake.complete_all();
        dropper.join().unwrap();
        assert!(fake.is_destroyed());
        drop(fake);
        assert_eq!((drops.load(SeqCst), watch.strong_count()), (10, 0));
    });
}
