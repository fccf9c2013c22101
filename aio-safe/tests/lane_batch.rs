//! Batches of lanes: what is submitted when, what comes back, and what is dropped.

mod common;

use std::{
    collections::BTreeMap,
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use aio_safe::{Errno, Op, OpError, error::QueueError, lane::LaneBatch};
use common::{
    Bytes, Fake, Scratch, Tracked, Verdict, push, results, room, submit, submit_reads, take_all,
};

#[test]
fn one_call_of_the_kernel_is_enough() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(200, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(200).unwrap();
    lane.batch().submit().unwrap();
    assert_eq!(fake.submits(), 0, "nothing to submit");
    let mut batch = lane.batch();
    (0..200).for_each(|n| push(&mut batch, &file, n));
    batch.submit().unwrap();
    batch.submit().unwrap();
    drop(batch);
    assert_eq!(fake.submits(), 1);
    // More than one turn's worth.
    let expected: BTreeMap<_, _> = (0..200).map(|n| (n, Ok(8))).collect();
    assert_eq!(results(&mut lane), expected);
}

#[test]
fn the_kernel_hears_of_them_in_the_order_in_which_they_were_pushed() {
    let fake = Fake::new();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let mut lane = queue.lane(5).unwrap();
    let offsets = || -> Vec<_> { fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect() };
    submit_reads(&mut lane, 0..3);
    submit_reads(&mut lane, 3..5);
    assert_eq!(offsets(), [0, 1, 2, 3, 4]);
    for place in [3, 1, 1] {
        fake.complete(place);
    }
    assert_eq!(queue.reap(3, None), Ok(3));
    let taken: Vec<_> = iter::from_fn(|| lane.try_take()).map(|(n, _)| n).collect();
    assert_eq!(taken, [3, 1, 2]);
    submit_reads(&mut lane, 10..13);
    assert_eq!(offsets(), [0, 4, 10, 11, 12]);
    fake.complete_all();
    assert_eq!(results(&mut lane).len(), 5);
}

#[test]
fn what_the_kernel_leaves_is_submitted_again() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(16, fake.clone()).unwrap();
    fake.on_submit(|iocb| match iocb.aio_offset % 3 {
        0 => Verdict::Pause,
        _ => Verdict::Accept,
    });
    // Whether or not the lane is full.
    for slots in [10, 12] {
        let before = fake.submits();
        let mut lane = queue.lane(slots).unwrap();
        submit_reads(&mut lane, 0..10);
        assert_eq!(fake.submits() - before, 4);
        assert_eq!(lane.room(), slots as usize - 10);
        assert_eq!(results(&mut lane).len(), 10);
        assert_eq!(lane.room(), slots as usize);
    }
}

fn assert_full<'a>(batch: &mut LaneBatch<'a, Bytes, u64>, file: &'a std::io::Stdin) {
    assert_eq!(batch.room(), 0);
    let back = batch.push(file, Op::read(vec![77; 5], 0), 42).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    let (op, value) = back.op;
    assert_eq!((op.into_payload().into_buffer(), value), (vec![77; 5], 42));
}

#[test]
fn a_full_lane_hands_operation_and_value_back() {
    let fake = Fake::new();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(3).unwrap();
    let mut batch = lane.batch();
    (0..3).for_each(|n| push(&mut batch, &file, n));
    assert_full(&mut batch, &file);
    batch.submit().unwrap();
    assert_full(&mut batch, &file);
    fake.complete(1);
    assert_eq!(queue.reap(1, None), Ok(1));
    assert_full(&mut batch, &file);
    assert_eq!(batch.try_take().unwrap().0, 1);
    assert_eq!((batch.room(), batch.len()), (1, 0));
    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    push(&mut batch, &file, 3);
    assert_full(&mut batch, &file);
    batch.submit().unwrap();
    // Refused, and not yet taken.
    assert_full(&mut batch, &file);
    drop(batch);
    assert_eq!(lane.room(), 0);
    assert_eq!(lane.try_take().unwrap().0, 3);
    assert_eq!(lane.room(), 1);
    fake.complete_all();
}

#[test]
fn pop_hands_back_what_was_pushed_last() {
    let fake = Fake::new();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(6).unwrap();
    submit_reads(&mut lane, 0..2);
    let mut batch = lane.batch();
    for n in 2..6_u64 {
        let op = Op::read(vec![n as u8; 3], 100 + n);
        batch.push(&file, op, n).unwrap();
    }
    let mut ops = Vec::new();
    for n in (4..6).rev() {
        let (op, value) = batch.pop().unwrap();
        assert_eq!(value, n);
        ops.push((op, value));
    }
    assert_eq!((batch.room(), batch.len()), (2, 2));
    // They are what they were.
    for (op, value) in ops {
        batch.push(&file, op, value).unwrap();
    }
    for n in [4, 5, 3, 2] {
        let (op, value) = batch.pop().unwrap();
        let buffer = op.into_payload().into_buffer();
        assert_eq!((value, buffer), (n, vec![n as u8; 3]));
    }
    assert!(batch.pop().is_none(), "what is in flight isn't handed back");
    (6..8).for_each(|n| push(&mut batch, &file, n));
    let (op, value) = batch.pop().unwrap();
    batch.push(&file, op, value).unwrap();
    batch.submit().unwrap();
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [0, 1, 6, 7]);
    assert!(batch.pop().is_none() && batch.is_empty());
    drop(batch);
    fake.complete_all();
    let expected: BTreeMap<_, _> = [0, 1, 6, 7].map(|n| (n, Ok(8))).into();
    assert_eq!(results(&mut lane), expected);
}

#[test]
fn what_a_dropped_batch_did_not_submit_comes_back_as_refused() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    let mut batch = lane.batch();
    push(&mut batch, &file, 0);
    batch.submit().unwrap();
    (1..4).for_each(|n| push(&mut batch, &file, n));
    drop(batch);
    assert_eq!(fake.submits(), 1, "the kernel hears of nothing");
    assert_eq!((lane.room(), lane.in_flight()), (0, 4));
    let refused = OpError::Refused(Errno::ECANCELED);
    let mut expected: BTreeMap<_, _> = (1..4).map(|n| (n, Err(refused))).collect();
    expected.insert(0, Ok(8));
    assert_eq!(results(&mut lane), expected);
    assert_eq!((lane.room(), lane.in_flight()), (4, 0));
    // While unwinding, and when the lane goes after it.
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut batch = lane.batch();
        push(&mut batch, &file, 7);
        panic!("between push and submit");
    }));
    assert!(panic.is_err());
    assert_eq!(lane.wait_ready(None), 1);
    drop(lane);
    assert_eq!(room(&queue), 4);
}

#[test]
fn a_batch_that_is_cleared_drops_what_was_not_submitted() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let dropped = || (buffers.load(SeqCst), values.load(SeqCst));
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    for round in 0..3 {
        let mut batch = lane.batch();
        for n in 0..4 {
            let op = Op::read(Tracked::new(16, &buffers), n);
            batch.push(&file, op, Tracked::new(0, &values)).unwrap();
            if n == 1 {
                batch.submit().unwrap();
            }
        }
        batch.clear();
        drop(batch);
        assert_eq!(dropped(), (round * 4 + 2, round * 4 + 2));
        assert_eq!((lane.room(), lane.in_flight()), (2, 2));
        assert_eq!(fake.in_flight().len(), 2);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 2);
        assert_eq!(dropped(), (round * 4 + 4, round * 4 + 4));
    }
    drop(lane);
    assert_eq!((dropped(), room(&queue)), ((12, 12), 4));
}

#[test]
fn a_batch_that_is_forgotten_is_never_submitted_and_its_slots_are_used_again() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let scratch = Scratch::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let op = |n| {
        (
            Op::read(Tracked::new(16, &drops), n),
            Tracked::new(0, &drops),
        )
    };
    let mut lane = queue.lane(4).unwrap();
    for left in 1..=4_u64 {
        let file = scratch.file("closed", &[0; 8]);
        let mut batch = lane.batch();
        for n in 0..left {
            let (op, value) = op(1000 + n);
            batch.push(&file, op, value).unwrap();
        }
        std::mem::forget(batch);
        // Nothing may be sent for it any more.
        drop(file);
        assert_eq!((lane.room(), lane.in_flight(), lane.results()), (4, 0, 0));
        assert!(lane.batch().is_empty() && lane.batch().pop().is_none());
        lane.batch().submit().unwrap();
        assert!(fake.in_flight().is_empty());
        submit(&mut lane, &std::io::stdin(), (0..3).map(op));
        let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
        assert_eq!(offsets, [0, 1, 2]);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 3);
        assert_eq!(
            drops.load(SeqCst),
            left as usize * 6,
            "the others are leaked"
        );
    }
    // And the lane that has such slots is dropped like any other.
    let file = std::io::stdin();
    let mut batch = lane.batch();
    let (op, value) = op(5);
    batch.push(&file, op, value).unwrap();
    std::mem::forget(batch);
    drop(lane);
    assert_eq!((drops.load(SeqCst), room(&queue)), (24, 4));
    assert_eq!(fake.submits(), 4);
}

#[test]
fn a_lane_that_meets_eagain_goes_on_where_it_was() {
    let fake = Fake::new();
    let queue = common::driven_by_test(16, fake.clone()).unwrap();
    let allowed = Arc::new(Mutex::new(4));
    {
        let allowed = Arc::clone(&allowed);
        fake.on_submit(move |iocb| {
            if iocb.aio_offset == 1 {
                return Verdict::Refuse(Errno::EBADF);
            }
            let mut allowed = allowed.lock().unwrap();
            if *allowed == 0 {
                return Verdict::Refuse(Errno::EAGAIN);
            }
            *allowed -= 1;
            Verdict::Accept
        });
    }
    let file = std::io::stdin();
    let mut lane = queue.lane(10).unwrap();
    let mut batch = lane.batch();
    (0..10).for_each(|n| push(&mut batch, &file, n));
    assert_eq!(batch.submit(), Err(QueueError::Again));
    assert_eq!((batch.len(), queue.in_flight()), (5, 4));
    assert_eq!(batch.submit(), Err(QueueError::Again));
    assert_eq!((batch.len(), batch.room()), (5, 0));
    // What isn't submitted can be had back.
    let (op, value) = batch.pop().unwrap();
    assert_eq!((value, batch.room()), (9, 1));
    batch.push(&file, op, value).unwrap();
    fake.complete_all();
    assert_eq!(queue.reap(4, None), Ok(4));
    // The one that was refused comes first.
    assert_eq!(batch.try_take().map(|(n, _)| n), Some(1));
    assert_eq!(batch.try_take().map(|(n, _)| n), Some(0));
    push(&mut batch, &file, 10);
    *allowed.lock().unwrap() = 100;
    batch.submit().unwrap();
    drop(batch);
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [5, 6, 7, 8, 9, 10]);
    fake.complete_all();
    let expected: BTreeMap<_, _> = (2..11).map(|n| (n, Ok(8))).collect();
    assert_eq!(results(&mut lane), expected);
}
