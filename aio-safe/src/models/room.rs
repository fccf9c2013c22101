//! Waiting for a slot of a full queue.

use std::task::Poll;

use loom::thread;

use super::{Bound, Machine, Task, block_on, check, file, poll};
use crate::{
    Op,
    error::{QueueError, ReapError},
    op::PollEvents,
};

/// A thread waits for the only slot while another one waits for the operation that has it. The slot
/// is handed on, whichever of the two leads.
#[test]
fn slot_goes_to_a_waiter() {
    let bound = Bound::Preemptions(3, "5,000 executions, 45,000 with 4");
    check(bound, &["before", "after"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn({
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || {
                seen.note(match queue.in_flight() {
                    0 => "after",
                    _ => "before",
                });
                let permit = queue.reserve().wait().unwrap();
                let read = permit.submit(file(), Op::read(buffer, 2)).unwrap();
                assert_eq!(read.wait().into_result().unwrap().1.byte(), 2);
            }
        });
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        waiter.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A future and a thread wait in line for the slot of a poll, which is cancelled. The future gives
/// up: the slot goes to the thread, which may lead in the kernel.
#[test]
fn slot_that_nobody_takes_goes_on() {
    let bound = Bound::Preemptions(2, "5,200 executions, 38,000 with 3");
    check(bound, &["given", "in line"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let never = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let task = Task::new();
        let mut first = queue.reserve();
        assert!(poll(&mut first, &task).is_pending());
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || drop(queue.reserve().wait().unwrap())
        });
        drop(never);
        match poll(&mut first, &task) {
            Poll::Ready(permit) => {
                seen.note("given");
                drop(permit.unwrap());
            }
            Poll::Pending => seen.note("in line"),
        }
        drop(first);
        waiter.join().unwrap();
        drop(task);
        drop(queue);
        machine.assert_over();
    });
}

/// A future waits for a slot, and another thread reaps.
#[test]
fn slot_for_a_future() {
    let bound = Bound::Preemptions(3, "6,700 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        drop(queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap());
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || while !matches!(queue.reap(1, None), Err(ReapError::Closed)) {}
        });
        let task = Task::new();
        let permit = block_on(queue.reserve(), &task).unwrap();
        drop(permit);
        queue.clone().close().unwrap();
        reaper.join().unwrap();
        drop(task);
        drop(queue);
        machine.assert_over();
    });
}

/// Closing while another thread waits for a slot: it gets one, or is sent away.
#[test]
fn close_against_reserve() {
    let bound = Bound::Preemptions(2, "2,800 executions, 48,000 with 3");
    check(bound, &["a slot", "sent away"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || match queue.reserve().wait() {
                Ok(permit) => {
                    seen.note("a slot");
                    drop(permit);
                }
                Err(error) => {
                    seen.note("sent away");
                    assert!(matches!(error, QueueError::Closed));
                }
            }
        });
        drop(read);
        queue.close().unwrap();
        waiter.join().unwrap();
        machine.assert_over();
    });
}

/// A slot is handed on while a third thread submits without waiting.
#[test]
fn slot_against_submission() {
    let bound = Bound::Preemptions(1, "13,000 executions, several times as many with 2");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || drop(queue.reserve().wait().unwrap())
        });
        let pusher = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || match queue.submit(file(), Op::read(buffer, 2)) {
                Ok(read) => assert_eq!(read.wait().into_result().unwrap().1.byte(), 2),
                Err(error) => assert!(matches!(error.reason, QueueError::QueueFull)),
            }
        });
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        waiter.join().unwrap();
        pusher.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A thread that waits for a slot leads in the kernel, where nothing comes. Another thread takes a
/// result, and gives it the slot.
#[test]
fn slot_for_a_leader() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let never = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        assert_eq!(queue.reap(1, None), Ok(1));
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || drop(queue.reserve().wait().unwrap())
        });
        assert_eq!(read.try_take().unwrap().into_result().unwrap().0, 1);
        waiter.join().unwrap();
        drop(never);
        drop(queue);
        machine.assert_over();
    });
}

/// As before, but an event comes as well: the leader may leave with the slot and drop the last
/// queue before the other thread kicks it.
#[test]
fn slot_for_a_leader_that_leaves() {
    let bound = Bound::Preemptions(3, "38,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        drop(
            queue
                .submit(file(), Op::write(machine.filled(2), 2))
                .unwrap(),
        );
        assert_eq!(queue.reap(1, None), Ok(1));
        let other = thread::spawn(move || {
            assert_eq!(read.try_take().unwrap().into_result().unwrap().1.byte(), 1);
        });
        drop(queue.reserve().wait().unwrap());
        drop(queue);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// A future waits for a slot while another thread abandons the only operation, which is over. No
/// thread reaps, so the future takes the completion when it is polled.
#[test]
fn slot_of_an_abandoned_operation() {
    let bound = Bound::None;
    check(bound, &["given", "in line"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let other = thread::spawn(move || drop(read));
        let task = Task::new();
        let mut reserve = queue.reserve();
        let permit = match poll(&mut reserve, &task) {
            Poll::Ready(permit) => {
                seen.note("given");
                drop(reserve);
                permit.unwrap()
            }
            Poll::Pending => {
                seen.note("in line");
                block_on(reserve, &task).unwrap()
            }
        };
        drop(permit);
        other.join().unwrap();
        drop(task);
        drop(queue);
        machine.assert_over();
    });
}
