//! Slots of lanes: who may use them, and when they are free again.

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use aio_safe::{Op, error::QueueError};
use common::{Bytes, Fake, poll_once, push, room, submit_reads, take_all, within};

#[test]
fn a_lane_without_slots_takes_nothing() {
    let queue = common::driven_by_test(1, Fake::new()).unwrap();
    let mut lane = queue.lane::<Bytes, _>(0).unwrap();
    let file = std::io::stdin();
    let mut batch = lane.batch();
    let back = batch.push(&file, Op::read(vec![0; 8], 0), ()).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert_eq!(batch.submit(), Ok(()));
    assert!(batch.pop().is_none());
    drop(batch);
    assert_eq!((lane.wait_ready(None), lane.room()), (0, 0));
    assert!(lane.wait().is_none());
    drop(lane);
    assert_eq!(room(&queue), 1);
}

#[test]
fn slots_are_the_lanes_until_it_is_dropped() {
    let fake = Fake::new();
    let queue = common::driven_by_test(100, fake.clone()).unwrap();
    for slots in [101, u32::MAX] {
        let failed = queue.lane::<Bytes, u64>(slots);
        assert_eq!(failed.map(drop), Err(QueueError::QueueFull));
        assert_eq!(room(&queue), 100, "none was kept");
    }
    let mut lane = queue.lane(90).unwrap();
    assert_eq!((lane.room(), room(&queue)), (90, 10));
    let failed = queue.lane::<Bytes, u64>(11);
    assert_eq!(failed.map(drop), Err(QueueError::QueueFull));
    assert_eq!(room(&queue), 10);
    let other = queue.lane::<Bytes, u64>(10).unwrap();
    assert_eq!(room(&queue), 0);
    drop(other);
    for round in 0..3 {
        submit_reads(&mut lane, 0..90);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 90);
        assert_eq!(room(&queue), 10, "results were taken, round {round}");
    }
    drop(lane);
    assert_eq!(room(&queue), 100);
    drop(queue.lane::<Bytes, u64>(100).unwrap());
}

#[test]
fn a_lane_deeper_than_its_queue_takes_no_slot_from_others() {
    within(60, || {
        let queue = common::driven_by_test(100, Fake::prompt()).unwrap();
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(SeqCst) == 0 {
                    let failed = queue.lane::<Bytes, u64>(101).map(drop);
                    assert_eq!(failed, Err(QueueError::QueueFull));
                }
            });
            for _ in 0..20_000 {
                match queue.submit(std::io::stdin(), Op::read(vec![0; 8], 0)) {
                    Ok(read) => drop(read.wait()),
                    Err(_) => {
                        done.store(2, SeqCst);
                        break;
                    }
                }
            }
            done.fetch_max(1, SeqCst);
        });
        assert_eq!(done.into_inner(), 1, "the queue was full");
    });
}

#[test]
fn slots_in_flight_come_back_when_they_are_over() {
    let fake = Fake::new();
    let queue = common::driven_by_test(10, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(8).unwrap();
    submit_reads(&mut lane, 0..5);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    // One is delivered, one is completed and not reaped, one is in a batch that is forgotten.
    fake.complete(0);
    let mut batch = lane.batch();
    push(&mut batch, &file, 5);
    std::mem::forget(batch);
    assert_eq!(room(&queue), 2);
    drop(lane);
    fake.touch_all();
    assert_eq!(room(&queue), 7, "all but what is in flight");
    fake.complete(1);
    assert_eq!(queue.reap(1, None), Ok(1));
    assert_eq!(room(&queue), 8);
    fake.complete_all();
    queue.drain().unwrap();
    assert_eq!(room(&queue), 10);
    // The slots aren't the lane's any more.
    fake.set_prompt(true);
    for _ in 0..10 {
        let read = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
    }
    assert_eq!(queue.stats().strays, 0);
}

#[test]
fn who_waits_for_a_slot_gets_one_of_a_dropped_lane() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(3, fake.clone()).unwrap();
        let mut lane = queue.lane(3).unwrap();
        submit_reads(&mut lane, 0..1);
        let [mut one, mut two, mut three] = [0; 3].map(|_| queue.reserve());
        let waker = std::task::Waker::noop();
        for reserve in [&mut one, &mut two, &mut three] {
            assert!(poll_once(reserve, waker).is_pending());
        }
        drop(lane);
        let slots = [&mut one, &mut two].map(|reserve| poll_once(reserve, waker));
        assert!(slots.iter().all(std::task::Poll::is_ready));
        assert!(poll_once(&mut three, waker).is_pending());
        fake.complete_all();
        queue.drain().unwrap();
        assert!(poll_once(&mut three, waker).is_ready());
    });
}
