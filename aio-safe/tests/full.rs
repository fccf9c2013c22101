//! A full queue: nothing is turned away while operations that are over, and that nobody waits for,
//! have slots.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aio_safe::{Op, Queue, error::QueueError};
use common::{
    Bytes, Does, Fake, OnDrop, Tracked, With, WithRing, WithoutRing, Woken, panicking_waker,
    poll_once, read, room, within,
};

/// Fills the slots of a queue in each way there is, and asks for as many again.
fn fill(queue: &Queue, file: &std::fs::File) {
    let depth = queue.depth();
    let abandon_all = || {
        // Some of them are over at once, the others soon.
        for _ in 0..depth {
            drop(queue.submit(file, Op::read(vec![1; 8], 0)).unwrap());
        }
    };
    abandon_all();
    abandon_all();
    let mut batch = queue.batch();
    for _ in 0..depth {
        batch.push(file, Op::read(vec![1; 8], 0)).unwrap();
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    handles.clear();
    let mut lane = queue.lane(depth).unwrap();
    common::submit(&mut lane, file, [(Op::read(vec![1; 8], 0), ())]);
    drop(lane);
    abandon_all();
    queue.drain().unwrap();
}

#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "reads of /dev/zero are over later")]
fn operations_that_are_over_make_room_for_others() {
    within(20, || {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        for depth in [1, 3, 64, 200] {
            fill(&Queue::new(depth).unwrap(), &zeros);
            let without_ring = common::driven_by_test(depth, WithoutRing::default());
            fill(&without_ring.unwrap(), &zeros);
            fill(
                &common::driven_by_test(depth, Fake::prompt()).unwrap(),
                &zeros,
            );
        }
    });
}

#[test]
fn an_operation_that_is_over_makes_room_behind_many_whose_handles_are_held() {
    const HELD: usize = 200;
    let fake = Fake::new();
    let queue = common::driven_by_test(HELD as u32 + 1, fake.clone()).unwrap();
    let file = std::io::stdin();
    let held: Vec<_> = (0..HELD).map(|_| read(&queue)).collect();
    let mut over = |n: usize| {
        drop(read(&queue));
        fake.complete_all();
        match n {
            0 => {
                let mut batch = queue.batch();
                batch.push(&file, Op::read(vec![0; 8], 0)).unwrap();
                batch.clear();
            }
            1 => drop(queue.lane::<Bytes, ()>(1).unwrap()),
            _ => drop(read(&queue)),
        }
        fake.complete_all();
        queue.drain().unwrap();
    };
    (0..3).for_each(&mut over);
    drop(held);
}

#[test]
fn what_is_in_flight_or_not_taken_makes_no_room() {
    let fake = Fake::new();
    let ringed = WithRing::new(fake.clone());
    let queue = common::driven_by_test(3, ringed.clone()).unwrap();
    let (taken, held) = (read(&queue), read(&queue));
    drop(read(&queue));
    ringed.post(fake.carry_out(0, None));
    assert_eq!(room(&queue), 0);
    assert!(taken.is_done(), "it was reaped on the way");
    assert_eq!(fake.waits(), 0, "the ring was read, and nobody waited");
    drop(taken);
    assert_eq!(room(&queue), 1);
    fake.complete_all();
    assert_eq!(held.wait().result, Ok(8));
}

/// How an operation comes to a full queue.
#[derive(Clone, Copy, Debug)]
enum Way {
    Submit,
    Batch,
    Lane,
}

/// Submits a tracked operation in this way. Whether there was room; an operation that came back is
/// dropped here.
fn come(queue: &Queue, way: Way, drops: &Arc<AtomicUsize>) -> bool {
    let before = drops.load(SeqCst);
    let op = Op::read(Tracked::new(8, drops), 0);
    let file = std::io::stdin();
    let came_back = match way {
        Way::Submit => queue.submit(&file, op).map(drop).err(),
        Way::Batch => {
            let mut batch = queue.batch();
            let pushed = batch.push(&file, op).err();
            let mut handles = Vec::new();
            batch.submit(&mut handles).unwrap();
            pushed
        }
        Way::Lane => {
            let lane = queue.lane(1);
            if let Ok(mut lane) = lane {
                common::submit(&mut lane, &file, [(op, ())]);
                None
            } else {
                assert_eq!(lane.map(drop), Err(QueueError::QueueFull));
                drop(op);
                return false;
            }
        }
    };
    assert_eq!(drops.load(SeqCst), before, "{way:?}: it is lost");
    match came_back {
        None => true,
        Some(back) => {
            assert_eq!(back.reason, QueueError::QueueFull);
            false
        }
    }
}

#[test]
fn a_panic_of_foreign_code_loses_no_operation_that_is_being_submitted() {
    within(20, || {
        for way in [Way::Submit, Way::Batch, Way::Lane] {
            for of_buffer in [false, true] {
                let fake = Fake::new();
                let queue = common::driven_by_test(3, fake.clone()).unwrap();
                let drops = Arc::new(AtomicUsize::new(0));
                let mut panics = (!of_buffer).then(|| read(&queue));
                if let Some(panics) = &mut panics {
                    assert!(poll_once(panics, &panicking_waker()).is_pending());
                } else {
                    let panics = OnDrop::new(|| panic!("a destructor panics"));
                    let op = Op::read(With(Tracked::new(8, &Arc::default()), panics), 0);
                    drop(queue.submit(std::io::stdin(), op).unwrap());
                }
                let mut woken_later = read(&queue);
                let (woken, waker) = Woken::new();
                assert!(poll_once(&mut woken_later, &waker).is_pending());
                drop(read(&queue));
                fake.complete_all();
                assert!(
                    come(&queue, way, &drops),
                    "{way:?}, of a buffer: {of_buffer}"
                );
                assert_eq!(woken.count(), 1, "the others are served");
                fake.complete_all();
                queue.drain().unwrap();
                assert_eq!(drops.load(SeqCst), 1);
                drop((panics, woken_later));
                assert_eq!(room(&queue), 3, "{way:?}, of a buffer: {of_buffer}");
            }
        }
    });
}

#[test]
fn a_panic_of_foreign_code_in_a_queue_that_stays_full_hands_the_operation_back() {
    within(20, || {
        for way in [Way::Submit, Way::Batch, Way::Lane] {
            let fake = Fake::new();
            let queue = common::driven_by_test(2, fake.clone()).unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            let mut held = [read(&queue), read(&queue)];
            assert!(poll_once(&mut held[0], &panicking_waker()).is_pending());
            fake.complete_all();
            assert!(!come(&queue, way, &drops), "{way:?}");
            assert_eq!(drops.load(SeqCst), 1, "{way:?}: it came back");
            drop(held);
            assert_eq!(room(&queue), 2, "{way:?}");
        }
    });
}

#[test]
fn foreign_code_that_closes_a_full_queue_is_told_of() {
    within(20, || {
        for way in [Way::Submit, Way::Batch, Way::Lane] {
            let fake = Fake::prompt();
            let queue = common::driven_by_test(1, fake).unwrap();
            let mut held = read(&queue);
            let other = queue.clone();
            let waker = Does::waker(move || other.close().unwrap(), || ());
            assert!(poll_once(&mut held, &waker).is_pending());
            let file = std::io::stdin();
            let op = Op::read(vec![7; 8], 0);
            let reason = match way {
                Way::Submit => queue.submit(&file, op).unwrap_err().reason,
                Way::Batch => queue.batch().push(&file, op).unwrap_err().reason,
                Way::Lane => queue.lane::<Bytes, ()>(1).map(drop).unwrap_err(),
            };
            assert_eq!(reason, QueueError::Closed, "{way:?}");
        }
    });
}
