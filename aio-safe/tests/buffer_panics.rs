//! Buffers that panic when they are asked where they are, or told what was read: they are dropped,
//! and their slots are free again.

#![allow(unsafe_code, reason = "implements a buffer's traits")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Waker,
    time::Duration,
};

use aio_safe::{
    Op, Pending, Queue,
    buf::{IoBuf, IoBufMut},
    op::Transfer,
};
use common::{Fake, Tracked, caught, poll_once, room, text, within};

/// A buffer that panics when it is asked where it is, if it has 13 bytes, or when it is told that 7
/// bytes were read.
struct PanicsOnInit(Tracked);

// SAFETY: as for what is inside.
unsafe impl IoBuf for PanicsOnInit {
    fn io_ptr(&self) -> *const u8 {
        assert_ne!(self.0.bytes.len(), 13, "io_ptr panics");
        self.0.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.0.io_len()
    }
}

// SAFETY: as for what is inside.
unsafe impl IoBufMut for PanicsOnInit {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        assert_ne!(self.0.bytes.len(), 13, "io_mut_ptr panics");
        self.0.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.0.io_capacity()
    }

    unsafe fn set_init(&mut self, len: usize) {
        assert_ne!(len, 7, "set_init panics");
    }
}

/// A read into such a buffer, at an offset that isn't looked at.
fn op(len: usize, drops: &Arc<AtomicUsize>) -> Op<Transfer<PanicsOnInit>> {
    Op::read(PanicsOnInit(Tracked::new(len, drops)), 0)
}

#[test]
fn a_buffer_that_panics_when_it_is_submitted_is_dropped_and_costs_no_slot() {
    /// A way to submit an operation.
    type Way = fn(&Queue, Op<Transfer<PanicsOnInit>>);

    let ways: [(&str, Way); 3] = [
        ("submit", |queue, op| {
            drop(queue.submit(std::io::stdin(), op));
        }),
        ("reserved", |queue, op| {
            let permit = queue.reserve().wait().unwrap();
            drop(permit.submit(std::io::stdin(), op));
        }),
        ("batch", |queue, op| {
            let file = std::io::stdin();
            drop(queue.batch().push(&file, op));
        }),
    ];
    for (name, way) in ways {
        for writes in [false, true] {
            let fake = Fake::new();
            let queue = common::driven_by_test(2, fake.clone()).unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            for n in 1..=3 {
                let op = match writes {
                    false => op(13, &drops),
                    true => Op::write(PanicsOnInit(Tracked::new(13, &drops)), 0),
                };
                let panic = caught(|| way(&queue, op));
                let expected = if writes {
                    "io_ptr panics"
                } else {
                    "io_mut_ptr panics"
                };
                assert!(text(&*panic).contains(expected), "{name}");
                assert_eq!((drops.load(SeqCst), room(&queue)), (n, 2), "{name}");
            }
            assert_eq!((fake.submits(), queue.in_flight()), (0, 0), "{name}");
        }
    }
}

#[test]
fn a_buffer_among_several_that_panics_when_it_is_submitted_takes_the_others_with_it() {
    let queue = common::driven_by_test(2, Fake::new()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let buffers = [8, 13, 8].map(|len| PanicsOnInit(Tracked::new(len, &drops)));
    let op = Op::read_vectored(Vec::from(buffers), 0);
    caught(|| queue.submit(std::io::stdin(), op).map(drop));
    assert_eq!((drops.load(SeqCst), room(&queue)), (3, 2));
}

#[test]
fn a_batch_goes_on_after_a_buffer_that_panicked() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(3, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let file = std::io::stdin();
    let mut batch = queue.batch();
    batch.expect_more(3);
    for len in [8, 13, 13, 13, 8, 8] {
        if len == 13 {
            caught(|| batch.push(&file, op(len, &drops)).map_err(drop));
        } else {
            assert!(batch.push(&file, op(len, &drops)).is_ok());
        }
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    for read in handles.drain(..) {
        assert_eq!(read.wait().result, Ok(8));
    }
    drop(batch);
    assert_eq!((drops.load(SeqCst), room(&queue)), (6, 3));
}

#[test]
fn a_buffer_that_panics_when_it_is_told_what_was_read_is_dropped_and_costs_no_slot() {
    /// A way to take a result.
    type Way = fn(Pending<Transfer<PanicsOnInit>>, &Queue);

    let ways: [(&str, Way); 5] = [
        ("wait", |read, _| drop(read.wait())),
        ("wait_timeout", |read, _| {
            drop(read.wait_timeout(Duration::from_secs(10)));
        }),
        ("try_take", |read, queue| {
            queue.reap(1, None).unwrap();
            drop(read.try_take());
        }),
        ("poll", |mut read, queue| {
            queue.reap(1, None).unwrap();
            drop(poll_once(&mut read, Waker::noop()));
        }),
        ("drop", |read, queue| {
            queue.reap(1, None).unwrap();
            drop(read);
        }),
    ];
    within(20, move || {
        for (name, way) in ways {
            let fake = Fake::new();
            let queue = common::driven_by_test(2, fake.clone()).unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            for n in 1..=3 {
                let read = queue.submit(std::io::stdin(), op(8, &drops)).unwrap();
                fake.complete_with(0, 7);
                let panic = caught(|| way(read, &queue));
                assert!(text(&*panic).contains("set_init panics"), "{name}");
                assert_eq!((drops.load(SeqCst), room(&queue)), (n, 2), "{name}");
            }
            queue.close().unwrap();
        }
    });
}

#[test]
fn an_abandoned_buffer_is_not_told_what_was_read() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    drop(queue.submit(std::io::stdin(), op(8, &drops)).unwrap());
    fake.complete_with(0, 7);
    assert_eq!(queue.reap(1, None), Ok(1));
    assert_eq!((drops.load(SeqCst), room(&queue)), (1, 1));
}

#[test]
fn a_buffer_that_panics_when_it_is_taken_costs_its_lane_no_slot() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(3, fake.clone()).unwrap();
        let file = std::io::stdin();
        let (buffers, values) = (Arc::default(), Arc::default());
        let mut lane = queue.lane(3).unwrap();
        let op = |n| {
            let op = Op::read(PanicsOnInit(Tracked::new(8, &buffers)), 0);
            (op, (n, Tracked::new(0, &values)))
        };
        common::submit(&mut lane, &file, (0..3).map(op));
        for res in [8, 7, 7] {
            fake.complete_with(0, res);
        }
        assert_eq!(lane.wait_ready(None), 3);
        assert_eq!(lane.try_take().unwrap().0.0, 0);
        let panic = caught(|| lane.try_take());
        assert!(text(&*panic).contains("set_init panics"));
        assert_eq!((lane.results(), lane.in_flight(), lane.room()), (1, 1, 2));
        // It is not touched again, nor is anything in its place.
        common::submit(&mut lane, &file, (3..5).map(op));
        fake.complete_all();
        queue.reap(2, None).unwrap();
        // Those that nobody takes aren't told of anything.
        drop(lane);
        let dropped = |drops: &Arc<AtomicUsize>| drops.load(SeqCst);
        assert_eq!(
            (dropped(&buffers), dropped(&values)),
            (5, 5),
            "none is lost"
        );
        assert_eq!(room(&queue), 3);
    });
}

#[test]
fn a_buffer_that_panics_in_a_batch_leaves_what_was_pushed() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let file = std::io::stdin();
    let (buffers, values) = (Arc::default(), Arc::default());
    let mut lane = queue.lane(4).unwrap();
    let op = |n, len| {
        let op = Op::read(PanicsOnInit(Tracked::new(len, &buffers)), n);
        (op, (n, Tracked::new(0, &values)))
    };
    common::submit(&mut lane, &file, [op(0, 8), op(1, 8)]);
    fake.complete_with(0, 7);
    fake.complete(0);
    assert_eq!(queue.reap(2, None), Ok(2));
    let mut batch = lane.batch();
    let (pushed, value) = op(2, 8);
    assert!(batch.push(&file, pushed, value).is_ok());
    // When it is pushed.
    let (pushed, value) = op(3, 13);
    caught(|| batch.push(&file, pushed, value).map_err(drop));
    assert_eq!((batch.len(), batch.room()), (1, 1));
    // When it is taken.
    caught(|| batch.try_take());
    assert_eq!((batch.len(), batch.room()), (1, 2));
    let (pushed, value) = op(4, 8);
    assert!(batch.push(&file, pushed, value).is_ok());
    assert_eq!(batch.try_take().unwrap().0.0, 1);
    batch.submit().unwrap();
    drop(batch);
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [2, 4]);
    fake.touch_all();
    fake.complete_all();
    for n in [2, 4] {
        assert_eq!(lane.wait().unwrap().0.0, n);
    }
    assert_eq!((lane.in_flight(), lane.room()), (0, 4));
    drop(lane);
    let dropped = |drops: &Arc<AtomicUsize>| drops.load(SeqCst);
    assert_eq!(
        (dropped(&buffers), dropped(&values)),
        (5, 5),
        "none is lost"
    );
    assert_eq!(room(&queue), 4);
}
