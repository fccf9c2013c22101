//! Panics in foreign code of lanes: wakers, destructors of buffers and values, files.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Waker,
};

use aio_safe::Op;
use common::{
    Either, Fake, PanickingFile, PanicsOnDrop, Tracked, WithRing, Woken, caught, lane_of,
    panicking_waker, poll_lane, poll_once, read, text, waker_panicking_in_clone,
    waker_panicking_in_drop, within,
};

#[test]
fn a_panicking_waker_of_a_lane_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(16, fake.clone()).unwrap();
        let mut lanes: Vec<_> = (0..4).map(|_| lane_of(&queue, 2)).collect();
        let mut polled = read(&queue);
        let (woken, waker) = Woken::new();
        for (n, lane) in lanes.iter_mut().enumerate() {
            let waker = if n % 2 == 0 {
                panicking_waker()
            } else {
                waker.clone()
            };
            assert!(poll_lane(lane, &waker).is_pending());
        }
        assert!(poll_once(&mut polled, &waker).is_pending());
        // And what a lane that is gone leaves is cleaned up.
        drop(lane_of(&queue, 3));
        fake.complete_all();
        let panic = caught(|| queue.reap(12, None));
        assert_eq!(text(&*panic), "a waker panics");
        assert_eq!(woken.count(), 3);
        for lane in &mut lanes {
            assert_eq!(lane.wait_ready(None), 2);
            assert_eq!(lane.wait().unwrap().1.buffer, [Fake::BYTE; 8]);
        }
        drop((lanes, polled));
        assert_eq!((queue.in_flight(), common::room(&queue)), (0, 16));
        queue.close().unwrap();
    });
}

#[test]
fn a_lane_survives_the_panic_of_anothers_waker() {
    within(20, || {
        for polling in [false, true] {
            let fake = Fake::new();
            let kernel = WithRing::new(fake.clone());
            let queue = common::driven_by_test(4, kernel.clone()).unwrap();
            let mut other = lane_of(&queue, 1);
            let mut lane = lane_of(&queue, 2);
            assert!(poll_lane(&mut other, &panicking_waker()).is_pending());
            for _ in 0..2 {
                kernel.post(fake.carry_out(0, None));
            }
            if polling {
                caught(|| poll_lane(&mut lane, Waker::noop()));
            } else {
                caught(|| lane.wait_ready(None));
            }
            for lane in [&mut lane, &mut other] {
                assert_eq!(lane.wait_ready(None), 1);
                assert_eq!(lane.wait().unwrap().0, 0);
            }
            fake.complete(0);
            assert_eq!(lane.wait().unwrap().0, 1);
        }
    });
}

/// What the next test lets panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Refused,
    Delivered,
    Pushed,
    InFlight,
}

#[test]
fn a_lane_and_its_batch_drop_all_that_they_have_even_if_one_panics() {
    /// Panics, or doesn't.
    type Maybe = Either<PanicsOnDrop, Tracked>;

    fn tracked(panics: bool, drops: &Arc<AtomicUsize>) -> Maybe {
        match Tracked::new(8, drops) {
            inner if panics => Either::A(PanicsOnDrop(inner)),
            inner => Either::B(inner),
        }
    }

    let at = [
        Where::Refused,
        Where::Delivered,
        Where::Pushed,
        Where::InFlight,
    ];
    within(20, move || {
        for (at, by_value) in at.into_iter().flat_map(|at| [(at, false), (at, true)]) {
            let fake = Fake::new();
            let queue = common::driven_by_test(16, fake.clone()).unwrap();
            let (buffers, values) = (Arc::default(), Arc::default());
            let dropped = || {
                let drops: [&Arc<AtomicUsize>; 2] = [&buffers, &values];
                drops.map(|drops| drops.load(SeqCst))
            };
            let mut lane = queue.lane(12).unwrap();
            // Three of each, of which the one in the middle panics.
            let ops = |this| {
                [false, true, false].map(|middle| {
                    let panics = at == this && middle;
                    let op = Op::read(tracked(panics && !by_value, &buffers), 0);
                    (op, tracked(panics && by_value, &values))
                })
            };
            let file = std::io::stdin();
            fake.on_submit(|_| common::Verdict::Refuse(aio_safe::Errno::EBADF));
            common::submit(&mut lane, &file, ops(Where::Refused));
            fake.on_submit(|_| common::Verdict::Accept);
            common::submit(&mut lane, &file, ops(Where::Delivered));
            fake.complete_all();
            queue.reap(3, None).unwrap();
            common::submit(&mut lane, &file, ops(Where::InFlight));
            let panics = |what: Box<dyn FnOnce() + '_>| {
                let panic = caught(what);
                assert_eq!(text(&*panic), "a buffer's destructor panics", "{at:?}");
            };
            let mut batch = lane.batch();
            for (op, value) in ops(Where::Pushed) {
                assert!(batch.push(&file, op, value).is_ok());
            }
            match at {
                Where::Pushed => panics(Box::new(|| batch.clear())),
                _ => batch.clear(),
            }
            drop(batch);
            assert_eq!((dropped(), lane.room()), ([3, 3], 3), "{at:?}");
            match at {
                Where::Pushed | Where::InFlight => drop(lane),
                _ => panics(Box::new(|| drop(lane))),
            }
            assert_eq!(dropped(), [9, 9], "{at:?}, by value: {by_value}");
            assert_eq!(common::room(&queue), 13);
            fake.touch_all();
            fake.complete_all();
            if at == Where::InFlight {
                caught(|| queue.reap(3, None));
            } else {
                assert_eq!(queue.reap(3, None), Ok(3));
            }
            assert_eq!(dropped(), [12, 12], "{at:?}, by value: {by_value}");
            assert_eq!(common::room(&queue), 16);
        }
    });
}

#[test]
fn a_file_that_panics_costs_a_lane_no_slot() {
    let queue = common::driven_by_test(2, Fake::new()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut lane = queue.lane(2).unwrap();
    for n in 1..4 {
        let op = Op::read(Tracked::new(8, &drops), 0);
        let value = Tracked::new(0, &drops);
        let mut batch = lane.batch();
        caught(|| batch.push(&PanickingFile, op, value).map_err(drop));
        assert!(batch.is_empty() && batch.pop().is_none());
        drop(batch);
        assert_eq!((lane.room(), drops.load(SeqCst)), (2, 2 * n));
    }
}

#[test]
fn a_lanes_waker_that_panics_in_clone_or_drop_is_survived() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 2);
        let waker = waker_panicking_in_clone();
        caught(|| poll_lane(&mut lane, &waker));

        let (armed, waker) = waker_panicking_in_drop();
        // Replaced by another waker, by a thread that waits, and dropped with the lane.
        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        let (woken, other) = Woken::new();
        caught(|| poll_lane(&mut lane, &other));
        assert!(poll_lane(&mut lane, &other).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(lane.wait().unwrap().0, 0);

        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        fake.complete(0);
        caught(|| lane.wait());
        assert_eq!(lane.wait().unwrap().0, 1);

        drop(lane);
        let mut lane = lane_of(&queue, 2);
        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        caught(|| drop(lane));
        fake.complete_all();
        queue.drain().unwrap();
        assert_eq!(common::room(&queue), 2);
        std::mem::forget(waker);
    });
}
