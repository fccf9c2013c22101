//! A thread looks into the ring before it waits. If its own event is alone there, it takes a short
//! way, which must do all that the long way does.

mod common;

use std::{
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use aio_abi::IoEvent;
use aio_safe::{BufResult, Op, Pending, Queue, op::Transfer};
use common::{Fake, Reads, WithRing, Woken, lane_of, poll_lane, poll_once, submit_reads, within};

const NO_TIME: Option<Duration> = Some(Duration::ZERO);

fn ringed(depth: u32) -> (Fake, WithRing, Queue) {
    let fake = Fake::new();
    let kernel = WithRing::new(fake.clone());
    let queue = common::driven_by_test(depth, kernel.clone()).unwrap();
    (fake, kernel, queue)
}

fn read(queue: &Queue) -> Pending<Transfer<Vec<u8>>> {
    let op = Op::read(vec![0; 8], 0);
    queue.submit(std::io::stdin(), op).unwrap()
}

fn assert_read(done: BufResult<usize, Vec<u8>>) {
    assert_eq!((done.result, done.buffer), (Ok(8), vec![Fake::BYTE; 8]));
}

/// Events that belong to nothing in flight: with another slot or generation than this one, and one
/// of zeros, as in an entry of the ring that was never written.
fn foreign(data: u64) -> Vec<IoEvent> {
    let one_off = (8..64).map(|bit| data ^ (1 << bit));
    let event = |data| IoEvent {
        data,
        obj: 0,
        res: 8,
        res2: 0,
    };
    one_off.chain([0, u64::MAX - 1]).map(event).collect()
}

#[test]
fn an_event_alone_is_taken_at_each_place_of_the_ring() {
    within(20, || {
        let (fake, kernel, queue) = ringed(2);
        let mut lane: Reads = queue.lane(1).unwrap();
        for n in 0..9 {
            let waited = read(&queue);
            kernel.post(fake.carry_out(0, None));
            assert_read(waited.wait());
            let mut polled = read(&queue);
            assert!(poll_once(&mut polled, Waker::noop()).is_pending());
            kernel.post(fake.carry_out(0, None));
            let Poll::Ready(done) = poll_once(&mut polled, Waker::noop()) else {
                panic!("it is there");
            };
            assert_read(done);
            let mut polled = read(&queue);
            kernel.post(fake.carry_out(0, None));
            assert!(poll_once(&mut polled, Waker::noop()).is_ready());
            submit_reads(&mut lane, n..n + 1);
            kernel.post(fake.carry_out(0, None));
            assert_eq!(lane.wait_ready(NO_TIME), 1);
            assert_eq!(lane.try_take().unwrap().0, n);
            assert_eq!((queue.in_flight(), lane.in_flight()), (0, 0));
        }
        assert_eq!((fake.waits(), queue.stats().strays), (0, 0));
        queue.drain().unwrap();
    });
}

#[test]
fn several_events_are_taken_around_the_end_of_the_ring() {
    within(20, || {
        for first in 0..4 {
            let (fake, kernel, queue) = ringed(3);
            for _ in 0..first {
                let done = read(&queue);
                kernel.post(fake.carry_out(0, None));
                assert_read(done.wait());
            }
            let reads = [read(&queue), read(&queue), read(&queue)];
            for _ in 0..3 {
                kernel.post(fake.carry_out(0, None));
            }
            let [one, two, three] = reads;
            assert_read(two.wait());
            assert!(one.is_done() && three.is_done());
            assert_eq!((queue.in_flight(), queue.stats().strays), (0, 0));
            assert_read(one.wait());
            assert_read(three.wait());
            assert_eq!(fake.waits(), 0);
        }
    });
}

#[test]
fn a_foreign_event_alone_completes_no_handle() {
    within(20, || {
        let (fake, kernel, queue) = ringed(2);
        let mut before = None;
        for n in 0..58 {
            let mut this = read(&queue);
            let data = fake.in_flight()[0].iocb.aio_data;
            let event = before.replace(fake.in_flight()[0].event(8));
            let foreign = foreign(data).swap_remove(n);
            kernel.post(event.filter(|_| n % 2 == 1).unwrap_or(foreign));
            assert!(poll_once(&mut this, Waker::noop()).is_pending(), "{n}");
            assert_eq!((queue.stats().strays, queue.in_flight()), (n + 1, 1));
            kernel.post(fake.carry_out(0, None));
            assert_read(this.wait());
            assert_eq!(queue.in_flight(), 0);
        }
    });
}

#[test]
fn a_foreign_event_alone_completes_nothing_of_a_lanes() {
    within(20, || {
        let (fake, kernel, queue) = ringed(2);
        let mut lane: Reads = queue.lane(1).unwrap();
        let mut earlier = Vec::new();
        let mut strays = 0;
        for n in 0..3 {
            submit_reads(&mut lane, n..n + 1);
            let this = fake.in_flight()[0].event(8);
            for event in foreign(this.data).into_iter().chain(earlier.clone()) {
                kernel.post(event);
                strays += 1;
                assert_eq!(lane.wait_ready(NO_TIME), 0, "{:#x}", event.data);
                assert_eq!((queue.stats().strays, queue.in_flight()), (strays, 1));
            }
            kernel.post(fake.carry_out(0, None));
            assert_eq!(lane.wait_ready(NO_TIME), 1);
            assert_eq!(lane.try_take().unwrap().1.buffer, [Fake::BYTE; 8]);
            earlier.push(this);
        }
    });
}

#[test]
fn the_event_of_another_alone_is_the_others() {
    within(20, || {
        let (fake, kernel, queue) = ringed(4);
        let (woken, waker) = Woken::new();
        // A lane looks: the event is a handle's, and another lane's.
        let mut lane = lane_of(&queue, 1);
        let mut other = lane_of(&queue, 1);
        let mut handle = read(&queue);
        assert!(poll_once(&mut handle, &waker).is_pending());
        assert!(poll_lane(&mut other, &waker).is_pending());
        kernel.post(fake.carry_out(2, None));
        assert_eq!((lane.wait_ready(NO_TIME), woken.count()), (0, 1));
        kernel.post(fake.carry_out(1, None));
        assert_eq!((lane.wait_ready(NO_TIME), woken.count()), (0, 2));
        assert_eq!(queue.in_flight(), 1);
        assert_read(handle.wait());
        assert_eq!(other.results(), 0);
        assert!(other.has_results() && other.wait().is_some());
        // A handle looks: the event is another handle's, and a lane's.
        let mut handles = [read(&queue), read(&queue)];
        assert!(poll_lane(&mut lane, &waker).is_pending());
        assert!(poll_once(&mut handles[1], &waker).is_pending());
        kernel.post(fake.carry_out(2, None));
        assert!(poll_once(&mut handles[0], Waker::noop()).is_pending());
        assert_eq!((woken.count(), handles[1].is_done()), (3, true));
        kernel.post(fake.carry_out(0, None));
        assert!(poll_once(&mut handles[0], Waker::noop()).is_pending());
        assert_eq!((woken.count(), lane.has_results()), (4, true));
        kernel.post(fake.carry_out(0, None));
        let [first, second] = handles;
        assert_read(first.wait());
        assert_read(second.wait());
        assert_eq!(
            (queue.in_flight(), queue.stats().strays, fake.waits()),
            (0, 0, 0)
        );
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1, "a waker was leaked");
    });
}
