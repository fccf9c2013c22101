//! Waiting for a place in a full queue.

use std::task::Poll;

use loom::thread;

use super::{Machine, Reached, Task, block_on, check, file, poll};
use crate::{
    Op,
    error::{QueueError, ReapError},
};

/// A thread waits for the only place while another one waits for the operation that has it: whoever
/// leads, the place is handed on.
#[test]
fn place_goes_to_who_waits() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(3), move || {
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
    reached.assert(&["before", "after"]);
}

/// Two wait in line for the place of an abandoned operation, one as a future that gives up: the place
/// reaches the other one.
#[test]
fn place_that_nobody_takes_goes_on() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(2), move || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        drop(queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap());
        let task = Task::new();
        let mut first = queue.reserve();
        assert!(poll(&mut first, &task).is_pending());
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || drop(queue.reserve().wait().unwrap())
        });
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
    reached.assert(&["given", "in line"]);
}

/// A future waits for a place, and another thread reaps.
#[test]
fn place_for_a_future() {
    check(Some(2), || {
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

/// Closing while another thread waits for a place: it gets one, or is sent away.
#[test]
fn close_against_reserve() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(2), move || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || match queue.reserve().wait() {
                Ok(permit) => {
                    seen.note("a place");
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
    reached.assert(&["a place", "sent away"]);
}

/// A place is handed on while a third thread submits without waiting.
#[test]
fn place_against_submission() {
    check(Some(1), || {
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
