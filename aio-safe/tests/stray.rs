//! Events that belong to nothing in flight: counted, never followed.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use aio_abi::IoEvent;
use aio_safe::{Errno, Op, OpError};
use common::{Fake, Tracked, Verdict, tracked};

fn event(data: u64) -> IoEvent {
    IoEvent {
        data,
        obj: 0,
        res: 64,
        res2: 0,
    }
}

#[test]
fn a_duplicate_event_is_dropped() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    for abandoned in [false, true] {
        let before = queue.stats().strays;
        let pending = tracked(&queue, &drops);
        let event = fake.in_flight()[0].event(64);
        let pending = (!abandoned).then_some(pending);
        fake.complete(0);
        fake.post(event);
        fake.post(event);
        assert_eq!(queue.reap(0, None), Ok(1));
        assert_eq!(queue.stats().strays, before + 2);
        assert_eq!(queue.in_flight(), 0);
        if let Some(pending) = pending {
            assert_eq!(pending.wait().buffer.bytes[..], [Fake::BYTE; 64]);
        }
    }
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn an_event_of_an_earlier_use_of_the_slot_completes_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let first = tracked(&queue, &drops);
    let stale = fake.in_flight()[0].event(64);
    fake.complete(0);
    first.wait().result.unwrap();

    let mut second = tracked(&queue, &drops);
    assert_eq!(fake.in_flight()[0].obj, stale.obj, "the same slot");
    fake.post(stale);
    assert_eq!(queue.reap(0, None), Ok(0));
    assert_eq!((queue.stats().strays, queue.in_flight()), (1, 1));
    second = second.try_take().unwrap_err();
    fake.touch_all();
    fake.complete(0);
    assert_eq!(second.wait().buffer.bytes[..], [Fake::BYTE; 64]);
}

#[test]
fn foreign_events_complete_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let pending = tracked(&queue, &drops);
    let data = fake.in_flight()[0].iocb.aio_data;
    // Zeroes, as in an entry of the ring that was never used; other slots; other generations; the
    // address of an iocb, as other programs have it.
    let foreign = [
        0,
        data ^ (1 << 32),
        data + (2 << 32),
        data ^ (1 << 8),
        data ^ (1 << 9),
        data ^ (1 << 31),
        data ^ (1 << 63),
        u64::from(u32::MAX),
        u64::MAX << 32,
        fake.in_flight()[0].obj,
        u64::MAX - 1,
    ];
    for (n, data) in foreign.into_iter().enumerate() {
        fake.post(event(data));
        assert_eq!(queue.reap(0, None), Ok(0), "{data:#x}");
        assert_eq!(queue.stats().strays, n + 1, "{data:#x}");
        assert!(!pending.is_done());
    }
    assert_eq!(queue.in_flight(), 1);
    fake.touch_all();
    fake.complete(0);
    pending.wait().result.unwrap();
}

#[test]
fn an_event_before_anything_was_submitted_completes_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    for index in 0..4 {
        // As the slot's first use would have it, and with the flag of a slot in flight.
        for generation in [0, 1 << 8, 1 << 8 | 1, 2 << 8] {
            fake.post(event(index << 32 | generation));
        }
    }
    assert_eq!(queue.reap(0, None), Ok(0));
    assert_eq!((queue.stats().strays, queue.in_flight()), (16, 0));
}

#[test]
fn strays_do_not_end_a_wait() {
    common::within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let pending = tracked(&queue, &drops);
        let waiter = std::thread::spawn(move || pending.wait());
        for _ in 0..3 {
            fake.until_blocked(1);
            fake.post(event(7));
        }
        fake.until_blocked(1);
        assert!(!waiter.is_finished());
        fake.complete(0);
        waiter.join().unwrap().result.unwrap();
        assert_eq!(queue.stats().strays, 3);
    });
}

#[test]
fn stray_events_of_a_lanes_slots_complete_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let file = std::io::stdin();
    let mut lane = queue.lane(1).unwrap();
    let mut earlier = Vec::new();
    let mut strays = 0;
    for n in 0..4 {
        let op = Op::read(Tracked::new(64, &drops), n);
        let mut batch = lane.batch();
        batch.push(&file, op, Tracked::new(0, &drops)).unwrap();
        // Of what isn't submitted there can be no event.
        for &event in &earlier {
            fake.post(event);
            strays += 1;
        }
        assert_eq!(queue.reap(0, None), Ok(0));
        batch.submit().unwrap();
        drop(batch);
        let this = fake.in_flight()[0].event(64);
        // Earlier uses of the slot, and later ones.
        for &event in &earlier {
            fake.post(event);
            strays += 1;
        }
        for later in 1..4_u64 {
            fake.post(event(this.data + (later << 40)));
            strays += 1;
        }
        assert_eq!(lane.wait_ready(Some(std::time::Duration::ZERO)), 0);
        assert_eq!((queue.stats().strays, queue.in_flight()), (strays, 1));
        fake.touch_all();
        fake.complete(0);
        // Once more with the right one, and when it is delivered, and when it is taken.
        fake.post(this);
        assert_eq!(queue.reap(0, None), Ok(1));
        fake.post(this);
        assert_eq!(queue.reap(0, None), Ok(0));
        assert_eq!((lane.wait_ready(None), lane.in_flight()), (1, 1));
        let (_, done) = lane.try_take().unwrap();
        assert_eq!(done.buffer.bytes[..], [Fake::BYTE; 64]);
        fake.post(this);
        assert_eq!(queue.reap(0, None), Ok(0));
        assert!(lane.try_take().is_none());
        strays += 3;
        assert_eq!((queue.stats().strays, queue.in_flight()), (strays, 0));
        earlier.push(this);
        drop(done);
        assert_eq!(drops.load(SeqCst), 2 * (n as usize + 1));
    }
}

#[test]
fn events_of_what_was_refused_complete_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let file = std::io::stdin();
    let mut lane = queue.lane(1).unwrap();
    let submit = |lane: &mut _, n| {
        let op = Op::read(Tracked::new(64, &drops), n);
        common::submit(lane, &file, [(op, Tracked::new(0, &drops))]);
    };
    let data = Arc::new(AtomicU64::new(0));
    fake.on_submit({
        let data = Arc::clone(&data);
        move |iocb| match iocb.aio_offset {
            0 => {
                data.store(iocb.aio_data, SeqCst);
                Verdict::Refuse(Errno::EBADF)
            }
            _ => Verdict::Accept,
        }
    });
    submit(&mut lane, 0);
    let stray = event(data.load(SeqCst));
    // When it is refused, and when that is taken.
    fake.post(stray);
    assert_eq!(queue.reap(0, None), Ok(0));
    assert_eq!((lane.results(), lane.in_flight()), (1, 1));
    let (_, done) = lane.try_take().unwrap();
    assert_eq!(done.result, Err(OpError::Refused(Errno::EBADF)));
    fake.post(stray);
    assert_eq!(queue.reap(0, None), Ok(0));
    // When the slot is used again.
    submit(&mut lane, 1);
    fake.post(stray);
    assert_eq!(queue.reap(0, None), Ok(0));
    assert!(lane.try_take().is_none());
    fake.touch_all();
    fake.complete(0);
    assert_eq!(lane.wait().unwrap().1.result, Ok(64));
    assert_eq!((queue.stats().strays, queue.in_flight()), (3, 0));
    drop(done);
    assert_eq!(drops.load(SeqCst), 4);
}

#[test]
fn stray_events_after_a_lane_is_gone_complete_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let file = std::io::stdin();
    let mut lane = queue.lane(2).unwrap();
    let ops = [0, 1].map(|n| Op::read(Tracked::new(64, &drops), n));
    let ops = ops.map(|op| (op, Tracked::new(0, &drops)));
    common::submit(&mut lane, &file, ops);
    let events = [0, 1].map(|n: usize| fake.in_flight()[n].event(64));
    fake.complete(0);
    queue.reap(1, None).unwrap();
    drop(lane);
    assert_eq!(drops.load(SeqCst), 2, "the other one is in flight");
    fake.post(events[0]);
    assert_eq!(queue.reap(0, None), Ok(0));
    fake.touch_all();
    fake.complete(0);
    fake.post(events[1]);
    assert_eq!(queue.reap(0, None), Ok(1));
    assert_eq!((drops.load(SeqCst), queue.stats().strays), (4, 2));
    // The slots are a handle's, and again a lane's.
    let pending = [tracked(&queue, &drops), tracked(&queue, &drops)];
    events.into_iter().for_each(|event| fake.post(event));
    assert_eq!(queue.reap(0, None), Ok(0));
    fake.complete_all();
    for pending in pending {
        pending.wait().result.unwrap();
    }
    let mut lane = queue.lane(2).unwrap();
    let op = Op::read(Tracked::new(64, &drops), 9);
    common::submit(&mut lane, &file, [(op, 9)]);
    events.into_iter().for_each(|event| fake.post(event));
    assert_eq!(queue.reap(0, None), Ok(0));
    assert_eq!(queue.stats().strays, 6);
    fake.complete(0);
    assert_eq!(lane.wait().unwrap().0, 9);
}
