//! A lane against the thread that completes its operations.

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom::thread;

use super::{
    Bound, Machine, Reached, Task, block_on, check, file,
    kernel::{Buffer, REASON, REFUSED},
    poll,
};
use crate::{Lane, Op, OpError, Queue, error::ReapError, op::Transfer};

pub(super) type Reads = Lane<Transfer<Buffer>, u8>;

/// Submits a read for each value.
pub(super) fn submit(lane: &mut Reads, machine: &Machine, values: &[u8]) {
    let file = file();
    let mut batch = lane.batch();
    for &value in values {
        let op = Op::read(machine.buffer(), value.into());
        batch.push(&file, op, value).unwrap();
    }
    batch.submit().unwrap();
}

/// Checks the next result, which is there.
fn take(lane: &mut Reads) -> u8 {
    let (value, read) = lane.try_take().unwrap();
    let (n, buffer) = read.into_result().unwrap();
    assert_eq!((n, buffer.byte()), (1, value));
    value
}

/// Polls once, with the waker of a task.
fn poll_ready(lane: &mut Reads, task: &Arc<Task>) -> Poll<usize> {
    poll(&mut poll_fn(|cx| lane.poll_ready(cx)), task)
}

/// Another thread reaps some of it, or all.
fn reaper(queue: &Queue, seen: Reached) -> thread::JoinHandle<()> {
    let queue = queue.clone();
    thread::spawn(move || match queue.reap(1, None) {
        Ok(1) => seen.note("one by another"),
        Ok(2) => seen.note("both by another"),
        Err(ReapError::Closed) => seen.note("none by another"),
        other => unreachable!("{other:?}"),
    })
}

/// One thread waits for both of its operations, another one reaps.
fn either_reaps(machine: fn() -> Machine, what: &[&str]) {
    let bound = Bound::Preemptions(3, "8,700 executions, several times as many with 4");
    check(bound, what, move |seen| {
        let machine = machine();
        let queue = machine.queue(2);
        let mut lane = queue.lane(2).unwrap();
        submit(&mut lane, &machine, &[3, 4]);
        let reaper = reaper(&queue, seen.clone());
        let mut sum = 0;
        while lane.wait_ready(None) > 0 {
            sum += take(&mut lane);
        }
        assert_eq!(sum, 7);
        drop(lane);
        queue.close().unwrap();
        reaper.join().unwrap();
        machine.assert_over();
    });
}

#[test]
fn waited_for_while_another_reaps() {
    let machine = || Machine::new().one_by_one();
    either_reaps(machine, &["one by another", "none by another"]);
}

/// As before, with more than one event taken at a time.
#[test]
fn taken_from_the_ring_by_either() {
    let machine = || Machine::with_ring(4);
    either_reaps(machine, &["both by another", "none by another"]);
}

/// A lane of one slot submits twice: the slot and the inbox's entry are used again.
#[test]
fn slot_used_again() {
    let bound = Bound::Preemptions(3, "102,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.reap(0, None).unwrap();
                queue.reap(0, None).unwrap();
            }
        });
        let mut lane = queue.lane(1).unwrap();
        for value in [3, 4] {
            submit(&mut lane, &machine, &[value]);
            assert_eq!(lane.wait_ready(None), 1);
            assert_eq!(take(&mut lane), value);
        }
        drop(lane);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// One of three operations is refused, while another thread completes the others: each gets its own
/// result.
#[test]
fn refusals_while_another_reaps() {
    let bound = Bound::Preemptions(3, "35,000 executions, several times as many with 4");
    check(bound, &["one by another", "none by another"], |seen| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(3);
        let reaper = reaper(&queue, seen.clone());
        let mut lane: Reads = queue.lane(3).unwrap();
        let file = file();
        let mut batch = lane.batch();
        let offsets = [1, REFUSED, 2];
        for (value, offset) in (0..).zip(offsets) {
            let op = Op::read(machine.buffer(), offset);
            batch.push(&file, op, value).unwrap();
        }
        batch.submit().unwrap();
        drop(batch);
        let mut values = 0;
        while let Some((value, read)) = lane.wait() {
            values |= 1 << value;
            if value == 1 {
                assert_eq!(read.result, Err(OpError::Refused(REASON)));
            } else {
                let offset = offsets[usize::from(value)];
                assert_eq!(
                    (read.result, u64::from(read.buffer.byte())),
                    (Ok(1), offset)
                );
            }
        }
        assert_eq!((values, lane.room(), lane.in_flight()), (0b111, 3, 0));
        drop(lane);
        queue.close().unwrap();
        reaper.join().unwrap();
        machine.assert_over();
    });
}

/// A lane is dropped while another thread completes its operations. The lane drops what was
/// delivered, the completer drops the rest, and the last of them frees the inbox.
#[test]
fn dropped_against_completion() {
    let bound = Bound::Preemptions(4, "6,400 executions, several times as many with 5");
    check(bound, &["some delivered", "none delivered"], |seen| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let mut lane = queue.lane(2).unwrap();
        submit(&mut lane, &machine, &[3, 4]);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(2, None), Ok(2))
        });
        seen.note(match lane.has_results() {
            true => "some delivered",
            false => "none delivered",
        });
        drop(lane);
        reaper.join().unwrap();
        // The slots are back.
        drop(queue.lane::<Transfer<Buffer>, ()>(2).unwrap());
        drop(queue);
        machine.assert_over();
    });
}

/// A lane is dropped and then its queue, while another thread drops its handle of the queue: the
/// last one waits for what is in flight.
#[test]
fn dropped_with_its_queue() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let other = thread::spawn({
            let queue = queue.clone();
            move || drop(queue)
        });
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[3]);
        drop(lane);
        drop(queue);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// A task awaits the results, while another thread reaps.
#[test]
fn awaited_while_another_reaps() {
    let bound = Bound::Preemptions(4, "9,800 executions, several times as many with 5");
    check(bound, &["ready at once", "awaited"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[3]);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || queue.drain().unwrap()
        });
        let task = Task::new();
        seen.note(match poll_ready(&mut lane, &task) {
            Poll::Ready(_) => "ready at once",
            Poll::Pending => "awaited",
        });
        assert_eq!(block_on(poll_fn(|cx| lane.poll_ready(cx)), &task), 1);
        assert_eq!(take(&mut lane), 3);
        drop(lane);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// The waker is replaced while the result is delivered: the latest one is woken.
#[test]
fn waker_replaced_while_delivering() {
    let bound = Bound::Preemptions(4, "15,000 executions, several times as many with 5");
    check(
        bound,
        &["the first was woken", "the first was replaced"],
        |seen| {
            let machine = Machine::new();
            let queue = machine.queue(1);
            let mut lane = queue.lane(1).unwrap();
            submit(&mut lane, &machine, &[3]);
            let first = Task::new();
            assert!(poll_ready(&mut lane, &first).is_pending());
            let reaper = thread::spawn({
                let queue = queue.clone();
                move || assert_eq!(queue.reap(1, None), Ok(1))
            });
            // More than one: the completer may have taken the first, and then finds the second.
            let _ = poll_ready(&mut lane, &Task::new());
            let last = Task::new();
            assert_eq!(block_on(poll_fn(|cx| lane.poll_ready(cx)), &last), 1);
            assert_eq!(take(&mut lane), 3);
            seen.note(match first.take_woken() {
                true => "the first was woken",
                false => "the first was replaced",
            });
            drop(lane);
            reaper.join().unwrap();
            drop(queue);
            machine.assert_over();
        },
    );
}

/// A lane with a waker is dropped while the result is delivered.
#[test]
fn dropped_with_a_waker() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[3]);
        let task = Task::new();
        assert!(poll_ready(&mut lane, &task).is_pending());
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None), Ok(1))
        });
        drop(lane);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// Two threads wait, each for its own lane: one reaps for both, and hands the role on.
#[test]
fn two_lanes() {
    let bound = Bound::Preemptions(2, "8,400 executions, several times as many with 3");
    check(bound, &["served", "waits"], |seen| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let other = thread::spawn({
            let (queue, machine, seen) = (queue.clone(), machine.clone(), seen.clone());
            move || {
                let mut lane = queue.lane(1).unwrap();
                submit(&mut lane, &machine, &[3]);
                seen.note(match lane.has_results() {
                    true => "served",
                    false => "waits",
                });
                assert_eq!(lane.wait_ready(None), 1);
                assert_eq!(take(&mut lane), 3);
            }
        });
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[4]);
        assert_eq!(lane.wait_ready(None), 1);
        assert_eq!(take(&mut lane), 4);
        drop(lane);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A lane and a handle, of two threads.
#[test]
fn lane_beside_a_handle() {
    let bound = Bound::Preemptions(3, "10,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(4);
        let queue = machine.queue(2);
        let read = queue.submit(file(), Op::read(machine.buffer(), 5)).unwrap();
        let other =
            thread::spawn(move || assert_eq!(read.wait().into_result().unwrap().1.byte(), 5));
        let mut lane = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[4]);
        assert_eq!(lane.wait_ready(None), 1);
        assert_eq!(take(&mut lane), 4);
        drop(lane);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// The context is broken from outside, and destroyed: the lane gets what it waits for as errors.
#[test]
fn given_up() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut lane: Reads = queue.lane(1).unwrap();
        submit(&mut lane, &machine, &[3]);
        let breaker = thread::spawn({
            let machine = machine.clone();
            move || machine.break_down()
        });
        let (value, read) = lane.wait().unwrap();
        assert_eq!(value, 3);
        drop(read);
        drop(lane);
        breaker.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}
