//! A thread whose own event is alone in the ring, which takes a short way, against threads that
//! wait for something else. The ring is small, so that its end is reached.

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use loom::thread;

use super::{Bound, Machine, check, file, lane::submit, ring::RingMemory};
use crate::{
    Op, Queue,
    error::{QueueError, ReapError},
    op::PollEvents,
};

/// Reads, and waits for it.
fn read(queue: &Queue, machine: &Machine, value: u8) {
    let op = Op::read(machine.buffer(), value.into());
    let read = queue.submit(file(), op).unwrap();
    assert_eq!(read.wait().into_result().unwrap().1.byte(), value);
}

/// Another thread waits until nothing is in flight.
#[test]
fn another_drains() {
    let bound = Bound::Preemptions(4, "7,000 executions, minutes without a bound");
    check(bound, &["drained first"], |seen| {
        let machine = Machine::with_ring(2);
        let queue = machine.queue(1);
        let op = Op::read(machine.buffer(), 1);
        let pending = queue.submit(file(), op).unwrap();
        let other = thread::spawn({
            let queue = queue.clone();
            move || queue.drain().unwrap()
        });
        if pending.is_done() {
            seen.note("drained first");
        }
        assert_eq!(pending.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A task polls first. Its waker is in the slot when its thread finds the event.
#[test]
fn a_waker_is_stored() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::with_ring(2);
        let queue = machine.queue(1);
        let poll = Op::poll(PollEvents::IN);
        let mut pending = queue.submit(file(), poll).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        machine.fire();
        assert_eq!(pending.wait().unwrap(), PollEvents::IN);
        drop(queue);
        machine.assert_over();
    });
}

/// Another thread waits until nothing is in flight, and the event is a lane's.
#[test]
fn another_drains_a_lane() {
    let bound = Bound::Preemptions(4, "5,700 executions, minutes without a bound");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(2);
        let queue = machine.queue(1);
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[3]);
        let other = thread::spawn({
            let queue = queue.clone();
            move || queue.drain().unwrap()
        });
        assert_eq!(lane.wait().unwrap().0, 3);
        other.join().unwrap();
        drop(lane);
        drop(queue);
        machine.assert_over();
    });
}

/// Another thread closes the queue.
#[test]
fn another_closes() {
    let bound = Bound::Preemptions(3, "27,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(3);
        let queue = machine.queue(1);
        let op = Op::read(machine.buffer(), 1);
        let pending = queue.submit(file(), op).unwrap();
        let other = thread::spawn(move || queue.close().unwrap());
        assert_eq!(pending.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// Another thread waits for the slot.
#[test]
fn another_waits_for_the_slot() {
    let bound = Bound::Preemptions(3, "2,200 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(3);
        let queue = machine.queue(1);
        let op = Op::read(machine.buffer(), 1);
        let pending = queue.submit(file(), op).unwrap();
        let other = thread::spawn({
            let queue = queue.clone();
            move || match queue.reserve().wait() {
                Ok(permit) => drop(permit),
                Err(error) => assert!(matches!(error, QueueError::Closed)),
            }
        });
        assert_eq!(pending.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// Another thread reaps: it gets the event, or waits in the kernel until the queue is closed.
#[test]
fn another_reaps() {
    let bound = Bound::Preemptions(2, "3573 executions, several times as many with 3");
    check(bound, &["reaped", "closed"], |seen| {
        let machine = Machine::with_ring(3);
        let queue = machine.queue(1);
        let other = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || match queue.reap(1, None) {
                Ok(1) => seen.note("reaped"),
                Err(ReapError::Closed) => seen.note("closed"),
                other => unreachable!("{other:?}"),
            }
        });
        read(&queue, &machine, 1);
        queue.close().unwrap();
        other.join().unwrap();
        machine.assert_over();
    });
}

/// Another thread waits for its own operation.
#[test]
fn another_waits() {
    let bound = Bound::Preemptions(2, "9,800 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(3);
        let queue = machine.queue(2);
        let other = thread::spawn({
            let (queue, machine) = (queue.clone(), machine.clone());
            move || {
                let mut lane = queue.lane(1).unwrap();
                submit(&mut lane, &machine, &[4]);
                assert_eq!(lane.wait().unwrap().0, 4);
            }
        });
        read(&queue, &machine, 1);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// The kernel posts events while a thread takes them, each if it is alone.
#[test]
fn the_kernel_posts() {
    const EVENTS: u64 = 4;
    let bound = Bound::Preemptions(2, "44,000 executions, several times as many with 3");
    check(bound, &["alone", "two"], |seen| {
        let memory = std::sync::Arc::new(RingMemory::new(3));
        let producer = thread::spawn({
            let memory = std::sync::Arc::clone(&memory);
            move || memory.post_numbers(EVENTS)
        });
        // SAFETY: the memory lives to the end of the model.
        let ring = unsafe { memory.ring() };
        let mut next = 0;
        while next < EVENTS {
            // SAFETY: this is the only reader.
            let alone = unsafe { ring.take_only(|data, res| (data, res) == (next, 0)) };
            if alone {
                seen.note("alone");
                next += 1;
                continue;
            }
            // SAFETY: this is the only reader.
            let mut events = unsafe { ring.events(2) };
            for event in events.by_ref() {
                assert_eq!(event, (next, 0));
                next += 1;
            }
            let n = events.total();
            events.release();
            match n {
                0 => thread::yield_now(),
                1 => {}
                _ => seen.note("two"),
            }
        }
        producer.join().unwrap();
    });
}
