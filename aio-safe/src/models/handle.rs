//! The handle of an operation against the thread that completes it.

use std::task::Poll;

use loom::thread;

use super::{Bound, Machine, Task, block_on, check, file, poll};
use crate::Op;

/// One thread waits for the operation, another one reaps.
#[test]
fn wait_against_reap() {
    let bound = Bound::Preemptions(4, "3,500 executions, several times as many with 5");
    check(bound, &["reaped"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
        let reaper = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || {
                if queue.reap(0, None).unwrap() == 1 {
                    seen.note("reaped");
                }
            }
        });
        let (n, buffer) = read.wait().into_result().unwrap();
        assert_eq!((n, buffer.byte()), (1, 7));
        drop(buffer);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// The handle is dropped while the operation completes.
#[test]
fn abandon_against_completion() {
    let bound = Bound::None;
    check(bound, &["done", "in flight"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None).unwrap(), 1)
        });
        seen.note(if read.is_done() { "done" } else { "in flight" });
        drop(read);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A future that is polled takes the role for a moment, while another thread waits for its own
/// operation. Each may take the other's event, and neither misses it.
#[test]
fn poll_against_wait() {
    let bound = Bound::Preemptions(3, "4,600 executions, 28,000 with 4");
    check(
        bound,
        &["served", "waits", "ready at once", "led by the other"],
        |seen| {
            let machine = Machine::with_ring(4);
            let queue = machine.queue(2);
            let mut read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
            let other = queue.submit(file(), Op::read(machine.buffer(), 8)).unwrap();
            let waiter = thread::spawn({
                let seen = seen.clone();
                move || {
                    seen.note(if other.is_done() { "served" } else { "waits" });
                    assert_eq!(other.wait().into_result().unwrap().1.byte(), 8);
                }
            });
            let task = Task::new();
            let result = match poll(&mut read, &task) {
                Poll::Ready(result) => {
                    seen.note("ready at once");
                    result
                }
                Poll::Pending => {
                    seen.note("led by the other");
                    block_on(read, &task)
                }
            };
            assert_eq!(result.into_result().unwrap().1.byte(), 7);
            waiter.join().unwrap();
            drop(task);
            drop(queue);
            machine.assert_over();
        },
    );
}

/// A future gets another waker while the operation completes: the latest is woken.
#[test]
fn waker_replaced_while_completing() {
    let bound = Bound::Preemptions(4, "7,700 executions, several times as many with 5");
    check(
        bound,
        &["ready at once", "first woken", "second only"],
        |seen| {
            let machine = Machine::new();
            let queue = machine.queue(1);
            let mut read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
            let reaper = thread::spawn({
                let queue = queue.clone();
                move || assert_eq!(queue.reap(1, None).unwrap(), 1)
            });
            let first = Task::new();
            let second = Task::new();
            if let Poll::Ready(read) = poll(&mut read, &first) {
                seen.note("ready at once");
                assert_eq!(read.into_result().unwrap().1.byte(), 7);
            } else {
                let read = block_on(read, &second);
                assert_eq!(read.into_result().unwrap().1.byte(), 7);
                let woken = first.take_woken();
                seen.note(if woken { "first woken" } else { "second only" });
            }
            reaper.join().unwrap();
            assert_eq!(
                std::sync::Arc::strong_count(&first),
                1,
                "a waker was leaked"
            );
            assert_eq!(
                std::sync::Arc::strong_count(&second),
                1,
                "a waker was leaked"
            );
            drop(queue);
            machine.assert_over();
        },
    );
}

/// A handle with a waker takes its result, or is dropped without, while the completer takes the
/// waker.
#[test]
fn handle_goes_while_it_is_woken() {
    let bound = Bound::None;
    check(bound, &["taken", "abandoned"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
        let task = Task::new();
        assert!(poll(&mut read, &task).is_pending());
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None).unwrap(), 1)
        });
        match read.try_take() {
            Ok(read) => {
                seen.note("taken");
                assert_eq!(read.into_result().unwrap().1.byte(), 7);
            }
            Err(read) => {
                seen.note("abandoned");
                drop(read);
            }
        }
        reaper.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&task), 1, "a waker was leaked");
        drop(queue);
        machine.assert_over();
    });
}

/// A handle takes its result while the completer still has the handle's waker. The slot is free
/// when the result is taken, and the next operation stores its own waker there.
#[test]
fn slot_used_again_while_its_waker_is_taken() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let task = Task::new();
        assert!(poll(&mut first, &task).is_pending());
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None).unwrap(), 1)
        });
        if let Ok(first) = first.try_take() {
            assert_eq!(first.into_result().unwrap().1.byte(), 1);
            let mut second = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
            if let Poll::Ready(second) = poll(&mut second, &task) {
                assert_eq!(second.into_result().unwrap().1.byte(), 2);
            }
        }
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// What the writer stored is what the device writes.
#[test]
fn writes_carry_what_was_stored() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None).unwrap(), 1)
        });
        let write = queue
            .submit(file(), Op::write(machine.filled(9), 9))
            .unwrap();
        reaper.join().unwrap();
        assert_eq!(write.try_take().unwrap().into_result().unwrap().1.byte(), 9);
        drop(queue);
        machine.assert_over();
    });
}
