//! Lanes that are dropped or forgotten, and lanes of closed queues.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use aio_safe::{Errno, Op, Queue, error::QueueError};
use common::{
    Bytes, Fake, Scratch, Tracked, Verdict, Woken, pattern, push, results, room, submit,
    submit_reads, take_all, tracked_op, within,
};

#[test]
fn a_closed_queue_leaves_what_was_pushed_and_what_was_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut lane = queue.lane(4).unwrap();
        submit_reads(&mut lane, 0..2);
        let mut batch = lane.batch();
        (2..4).for_each(|n| push(&mut batch, &file, n));
        let other = queue.clone();
        thread::scope(|scope| {
            let closer = scope.spawn(move || other.close());
            fake.until_blocked(1);
            assert_eq!(batch.submit(), Err(QueueError::Closed));
            assert!(!closer.is_finished(), "two are in flight");
            fake.complete_all();
            assert_eq!(closer.join().unwrap(), Ok(()));
        });
        assert_eq!(batch.submit(), Err(QueueError::Closed));
        assert_eq!((batch.room(), batch.len()), (0, 2));
        let failed = queue.lane::<Bytes, ()>(1).map(drop);
        assert_eq!(failed, Err(QueueError::Closed));
        assert_eq!(batch.pop().unwrap().1, 3);
        batch.clear();
        drop(batch);
        assert_eq!((lane.room(), lane.in_flight()), (2, 2));
        let expected: BTreeMap<_, _> = (0..2).map(|n| (n, Ok(8))).collect();
        assert_eq!(results(&mut lane), expected);
        let mut batch = lane.batch();
        push(&mut batch, &file, 9);
        assert_eq!(batch.submit(), Err(QueueError::Closed));
        assert_eq!(batch.pop().unwrap().1, 9);
        drop(batch);
        assert_eq!(lane.wait_ready(None), 0);
        drop(lane);
    });
}

#[test]
fn a_lane_of_a_closed_queue_submits_nothing() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut lane = queue.lane(2).unwrap();
    queue.clone().close().unwrap();
    let file = std::io::stdin();
    let mut batch = lane.batch();
    push(&mut batch, &file, 0);
    assert_eq!(batch.submit(), Err(QueueError::Closed));
    drop(batch);
    drop(lane);
    assert_eq!(fake.submits(), 0);
    // Nor is another made of it.
    for slots in [0, 1, 5] {
        let failed = queue.lane::<Bytes, ()>(slots).map(drop);
        assert_eq!(failed, Err(QueueError::Closed));
    }
}

#[test]
fn a_thread_may_close_the_queue_with_its_own_operations_in_flight() {
    within(20, || {
        let scratch = Scratch::new();
        let bytes = pattern(4096);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(8).unwrap();
        let mut lane = queue.lane(8).unwrap();
        let op = |n: u64| (Op::read(vec![0; 512], n * 512), n as usize);
        submit(&mut lane, &file, (0..8).map(op));
        queue.clone().close().unwrap();
        assert!(lane.has_results());
        assert_eq!((lane.wait_ready(None), lane.results()), (8, 8));
        for (n, done) in take_all(&mut lane) {
            assert_eq!(done.buffer, bytes[n * 512..][..512]);
        }
    });
}

/// Lets go of one operation in each way there is, and counts what is dropped. `value` makes the
/// values: small ones that are stored in the slot with the buffer, or large ones that aren't.
fn dropped_once<V: Send + 'static>(value: impl Fn(&Arc<AtomicUsize>) -> V) {
    let fake = Fake::new();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let dropped = || (buffers.load(SeqCst), values.load(SeqCst));
    let file = std::io::stdin();
    let op = || (Op::read(Tracked::new(16, &buffers), 0), value(&values));
    let mut lane = queue.lane(8).unwrap();

    let mut batch = lane.batch();
    let (pushed, pushed_value) = op();
    assert!(batch.push(&file, pushed, pushed_value).is_ok());
    let popped = batch.pop().unwrap();
    drop(batch);
    assert_eq!(dropped(), (0, 0));
    drop(popped);
    assert_eq!(dropped(), (1, 1), "popped");

    submit(&mut lane, &file, [op()]);
    fake.complete(0);
    let taken = lane.wait().unwrap();
    assert_eq!(taken.1.buffer.bytes[..], [Fake::BYTE; 16]);
    assert_eq!(dropped(), (1, 1));
    drop(taken);
    assert_eq!(dropped(), (2, 2), "taken");

    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    submit(&mut lane, &file, [op()]);
    assert_eq!(dropped(), (2, 2));
    drop(lane.try_take().unwrap());
    assert_eq!(dropped(), (3, 3), "refused and taken");

    // One is left refused, one delivered, one completed, one in flight, and two pushed.
    submit(&mut lane, &file, [op()]);
    fake.on_submit(|_| Verdict::Accept);
    submit(&mut lane, &file, (0..3).map(|_| op()));
    fake.complete(0);
    queue.reap(1, None).unwrap();
    fake.complete(0);
    let mut batch = lane.batch();
    for _ in 0..2 {
        let (op, value) = op();
        assert!(batch.push(&file, op, value).is_ok());
    }
    assert_eq!(dropped(), (3, 3));
    batch.clear();
    drop(batch);
    assert_eq!(dropped(), (5, 5), "pushed");
    drop(lane);
    assert_eq!(dropped(), (7, 7), "all but what the kernel may have");
    fake.touch_all();
    queue.reap(1, None).unwrap();
    assert_eq!(dropped(), (8, 8), "completed before");
    fake.touch_all();
    fake.complete(0);
    queue.drain().unwrap();
    assert_eq!(dropped(), (9, 9), "in flight");
    drop(queue);
    assert_eq!(dropped(), (9, 9));
}

#[test]
fn buffers_and_values_are_dropped_once() {
    dropped_once(|drops| Tracked::new(0, drops));
}

#[test]
fn buffers_and_values_larger_than_a_slot_are_dropped_once() {
    dropped_once(|drops| ([7_u64; 40], Tracked::new(0, drops)));
}

#[test]
fn a_queue_that_is_closed_drops_what_a_dropped_lane_had_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut lane = queue.lane(3).unwrap();
        let op = |_| tracked_op(&drops);
        submit(&mut lane, &file, (0..3).map(op));
        drop(lane);
        let closer = thread::spawn(move || drop(queue));
        fake.until_blocked(1);
        assert_eq!(drops.load(SeqCst), 0);
        fake.complete_all();
        closer.join().unwrap();
        assert_eq!(drops.load(SeqCst), 6);
        drop(fake);
        assert_eq!(watch.strong_count(), 0, "nothing is left of the queue");
    });
}

#[test]
fn a_forgotten_lane_keeps_buffers_and_slots_for_ever() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(5, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut lane = queue.lane(4).unwrap();
        let op = |_| tracked_op(&drops);
        submit(&mut lane, &std::io::stdin(), (0..3).map(op));
        fake.complete(0);
        queue.reap(1, None).unwrap();
        std::mem::forget(lane);
        assert_eq!(room(&queue), 1);
        fake.touch_all();
        fake.complete(0);
        assert_eq!(queue.reap(1, None), Ok(1));
        fake.touch_all();
        // Else it would stay open.
        let closer = thread::spawn(move || queue.close());
        fake.until_blocked(1);
        fake.complete(0);
        closer.join().unwrap().unwrap();
        assert!(fake.is_destroyed());
        assert_eq!(drops.load(SeqCst), 0);
    });
}

#[test]
fn lanes_dropped_while_completions_come_free_each_buffer_once() {
    within(60, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(16, fake).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        let mut pushed = 0;
        for n in 0..20_000 {
            // Earlier operations may still hold the slots.
            let mut lane = loop {
                match queue.lane(1 + n % 7) {
                    Ok(lane) => break lane,
                    Err(reason) => assert_eq!(reason, QueueError::QueueFull),
                }
                thread::yield_now();
            };
            let slots = lane.room() - (n % 2) as usize;
            let op = |_| tracked_op(&drops);
            submit(&mut lane, &file, (0..slots).map(op));
            pushed += slots;
            if n % 3 == 0 {
                let (_, waker) = Woken::new();
                let mut context = std::task::Context::from_waker(&waker);
                let _ = lane.poll_ready(&mut context);
            }
            if n % 5 == 0 {
                drop(lane.try_take());
            }
        }
        queue.clone().close().unwrap();
        // Only then has it cleaned up what it has reaped.
        reaper.join().unwrap();
        assert_eq!(drops.load(SeqCst), 2 * pushed);
    });
}
