//! The leader's role, and how it is handed on.

use loom::thread;

use super::{
    Bound, Machine, check, file,
    kernel::{REASON, REFUSED},
};
use crate::{Op, OpError, error::ReapError};

/// Two threads wait, each for its own operation. Events come one by one, the later operation's
/// first: the leader may get the other thread's event, and the role must be handed on.
#[test]
fn waiter_after_waiter() {
    let bound = Bound::Preemptions(3, "4,300 executions, 23,000 with 4");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one().last_first();
        let queue = machine.queue(2);
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let second = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
        let other = thread::spawn(move || {
            assert_eq!(second.wait().into_result().unwrap().1.byte(), 2);
        });
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A thread waits for its operation while another one reaps in a loop. Each can get the role, and
/// the other's event.
#[test]
fn waiter_and_reaper() {
    let bound = Bound::Preemptions(3, "78,000 executions, several times as many with 4");
    check(bound, &["reaped", "done", "waits"], |seen| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let reaper = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || {
                loop {
                    match queue.reap(1, None) {
                        Ok(_) => seen.note("reaped"),
                        Err(ReapError::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        seen.note(if read.is_done() { "done" } else { "waits" });
        assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
        queue.close().unwrap();
        reaper.join().unwrap();
        machine.assert_over();
    });
}

/// Three threads follow.
#[test]
fn three_waiters() {
    let bound = Bound::Preemptions(1, "1,400 executions, 47,000 with 2");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one().last_first();
        let queue = machine.queue(3);
        let waiters = [2, 3].map(|n| {
            let read = queue.submit(file(), Op::read(machine.buffer(), n)).unwrap();
            thread::spawn(move || {
                assert_eq!(read.wait().into_result().unwrap().1.byte(), n as u8);
            })
        });
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        drop(queue);
        machine.assert_over();
    });
}

/// Draining while another thread waits for its operation, and one was abandoned.
#[test]
fn drain_and_waiter() {
    let bound = Bound::Preemptions(3, "5,500 executions, 31,000 with 4");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        drop(
            queue
                .submit(file(), Op::write(machine.filled(2), 2))
                .unwrap(),
        );
        let waiter = thread::spawn(move || {
            assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
        });
        queue.drain().unwrap();
        assert_eq!(queue.in_flight(), 0);
        waiter.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// After `drain` an operation is done, even if another thread has reaped it.
#[test]
fn drained_is_done() {
    let bound = Bound::Preemptions(4, "4,400 executions, several times as many with 5");
    check(bound, &["reaped by another"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let reaper = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || {
                if queue.reap(0, None).unwrap() == 1 {
                    seen.note("reaped by another");
                }
            }
        });
        queue.drain().unwrap();
        assert!(read.is_done());
        assert_eq!(read.try_take().unwrap().into_result().unwrap().1.byte(), 1);
        reaper.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// Draining while another thread submits.
#[test]
fn drain_against_submission() {
    let bound = Bound::Preemptions(3, "7,300 executions, several times as many with 4");
    check(bound, &["drained", "before"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let submitter = thread::spawn({
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || {
                let read = queue.submit(file(), Op::read(buffer, 1)).unwrap();
                seen.note(if read.is_done() { "drained" } else { "before" });
                assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
            }
        });
        queue.drain().unwrap();
        submitter.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// Draining while another thread submits an operation that is refused, and a third one sleeps in
/// the kernel as the leader: no event will end the wait.
#[test]
fn drain_against_refusal_and_sleeping_leader() {
    let bound = Bound::Preemptions(3, "33,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                // Ends with the operation that is submitted at the end.
                assert_eq!(queue.reap(1, None).unwrap(), 1);
            }
        });
        let submitter = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || {
                let refused = queue.submit(file(), Op::read(buffer, REFUSED)).unwrap();
                let result = refused.wait();
                assert_eq!(result.result, Err(OpError::Refused(REASON)));
            }
        });
        queue.drain().unwrap();
        submitter.join().unwrap();
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        reaper.join().unwrap();
        drop(read);
        drop(queue);
        machine.assert_over();
    });
}

/// A thread reaps without waiting while two others wait for their operations: it may take their
/// events, and never keeps the role.
#[test]
fn reluctant_heir() {
    let bound = Bound::Preemptions(3, "74,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new().one_by_one();
        let queue = machine.queue(2);
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let second = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
        let waiter = thread::spawn(move || {
            assert_eq!(second.wait().into_result().unwrap().1.byte(), 2);
        });
        let looker = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.reap(0, None).unwrap();
            }
        });
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        waiter.join().unwrap();
        looker.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}
