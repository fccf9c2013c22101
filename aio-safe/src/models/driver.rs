//! The thread that drives a queue which nobody else drives: its start and its end.

use loom::thread;

use super::{Bound, Machine, Task, block_on, check, file, poll};
use crate::{Op, op::PollEvents, queue::Driver};

/// A future waits, and nobody reaps but the thread that it starts. The queue is dropped while that
/// thread waits for more.
#[test]
fn future_starts_the_thread() {
    let bound = Bound::Preemptions(3, "26,000 executions, several times as many with 4");
    check(bound, &["waited"], |seen| {
        let machine = Machine::new();
        let queue = machine.driven(1, Driver::Thread);
        let task = Task::new();
        let mut ready = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        if poll(&mut ready, &task).is_pending() {
            seen.note("waited");
        }
        machine.fire();
        assert!(block_on(ready, &task).is_ok());
        drop(queue);
        machine.wait_until_freed();
        machine.assert_over();
    });
}

/// Two futures in two threads wait at the same time: one thread is started, and wakes both.
#[test]
fn two_futures_start_the_thread() {
    let bound = Bound::Preemptions(2, "21,000 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.driven(2, Driver::Thread);
        let read = || queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let (first, second) = (read(), read());
        let other = thread::spawn(move || {
            let (_, buffer) = block_on(first, &Task::new()).into_result().unwrap();
            assert_eq!(buffer.byte(), 1);
        });
        let (_, buffer) = block_on(second, &Task::new()).into_result().unwrap();
        assert_eq!(buffer.byte(), 1);
        other.join().unwrap();
        drop((buffer, queue));
        machine.wait_until_freed();
        machine.assert_over();
    });
}

/// The queue is closed while a future starts the thread. The close completes the future.
#[test]
fn close_against_the_start() {
    let bound = Bound::Preemptions(2, "70,000 executions, several times as many with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.driven(1, Driver::Thread);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let closes = thread::spawn(move || drop(queue));
        let (_, buffer) = block_on(read, &Task::new()).into_result().unwrap();
        assert_eq!(buffer.byte(), 1);
        drop(buffer);
        closes.join().unwrap();
        machine.wait_until_freed();
        machine.assert_over();
    });
}
