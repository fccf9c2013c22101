//! Cancelling against completion, and closing against polls that are never ready.

use loom::thread;

use super::{Bound, Machine, check, file};
use crate::{
    Op,
    error::QueueError,
    op::{CancelOutcome, PollEvents},
};

/// A poll is cancelled while it becomes ready, and another thread reaps it.
#[test]
fn cancel_against_completion() {
    let bound = Bound::None;
    check(bound, &["cancelled", "too late"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut poll = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let reaper = thread::spawn({
            let (queue, machine) = (queue.clone(), machine.clone());
            move || {
                machine.fire();
                queue.reap(1, None).unwrap();
            }
        });
        let cancelled = poll.cancel().unwrap();
        reaper.join().unwrap();
        let events = poll.wait().unwrap();
        match cancelled {
            CancelOutcome::Cancelled => {
                seen.note("cancelled");
                assert_eq!(events, PollEvents::default());
            }
            CancelOutcome::TooLate => {
                seen.note("too late");
                assert_eq!(events, PollEvents::IN);
            }
            CancelOutcome::NotCancellable => unreachable!("a poll can be cancelled"),
        }
        drop(queue);
        machine.assert_over();
    });
}

/// A poll's handle is dropped, which cancels it, while it becomes ready.
#[test]
fn dropped_poll_against_completion() {
    let bound = Bound::Preemptions(3, "8,800 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let poll = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert_eq!(queue.reap(1, None).unwrap(), 1)
        });
        let device = thread::spawn({
            let machine = machine.clone();
            move || machine.fire()
        });
        drop(poll);
        reaper.join().unwrap();
        device.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// Closing while another thread submits a poll that is never ready, and waits for it.
#[test]
fn close_against_poll() {
    let bound = Bound::Preemptions(3, "33,000 executions, several times as many with 4");
    check(bound, &["cancelled", "handed back"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let submitter = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            move || match queue.submit(file(), Op::poll(PollEvents::IN)) {
                Ok(poll) => {
                    seen.note("cancelled");
                    assert_eq!(poll.wait().unwrap(), PollEvents::default());
                }
                Err(error) => {
                    seen.note("handed back");
                    assert!(matches!(error.reason, QueueError::Closed));
                }
            }
        });
        queue.close().unwrap();
        submitter.join().unwrap();
        machine.assert_over();
    });
}

/// Closing while another thread drops the handle of a poll.
#[test]
fn close_against_dropped_poll() {
    let bound = Bound::Preemptions(3, "16,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let poll = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let dropper = thread::spawn(move || drop(poll));
        queue.close().unwrap();
        dropper.join().unwrap();
        machine.assert_over();
    });
}

/// A read is cancelled, which never succeeds, while another thread reaps it.
#[test]
fn cancel_of_a_read() {
    let bound = Bound::None;
    check(bound, &["too late", "not cancellable"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let mut read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.reap(1, None).unwrap();
            }
        });
        seen.note(match read.cancel().unwrap() {
            CancelOutcome::Cancelled => unreachable!("a read can't be cancelled"),
            CancelOutcome::TooLate => "too late",
            CancelOutcome::NotCancellable => "not cancellable",
        });
        reaper.join().unwrap();
        assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
        drop(queue);
        machine.assert_over();
    });
}

/// Closing where `io_cancel` is forbidden, while another thread waits for a poll that is never
/// ready: the closing thread takes the role from it, and `io_destroy` ends the poll.
#[test]
fn close_that_cannot_cancel() {
    let bound = Bound::Preemptions(3, "14,000 executions, several times as many with 4");
    check(bound, &["done", "waits"], |seen| {
        let machine = Machine::new().uncancellable();
        let queue = machine.queue(1);
        let poll = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let waiter = thread::spawn({
            let seen = seen.clone();
            move || {
                seen.note(if poll.is_done() { "done" } else { "waits" });
                assert_eq!(poll.wait().unwrap(), PollEvents::default());
            }
        });
        queue.close().unwrap();
        waiter.join().unwrap();
        machine.assert_over();
    });
}

/// The same with two threads that wait, each for a poll of its own: the first thread's role goes to
/// the closing thread, not to the second one.
#[test]
fn close_that_cannot_cancel_against_two() {
    let bound = Bound::Preemptions(1, "what it is about takes none, as the closer starts last");
    check(bound, &[], |_| {
        let machine = Machine::new().uncancellable();
        let queue = machine.queue(2);
        let [first, second] =
            [(); 2].map(|()| queue.submit(file(), Op::poll(PollEvents::IN)).unwrap());
        let waiter =
            thread::spawn(move || assert_eq!(second.wait().unwrap(), PollEvents::default()));
        // Last, so that it takes no preemption for both to wait before.
        let closer = thread::spawn(move || queue.close().unwrap());
        assert_eq!(first.wait().unwrap(), PollEvents::default());
        waiter.join().unwrap();
        closer.join().unwrap();
        machine.assert_over();
    });
}

/// Closing where `io_cancel` is forbidden, while another thread drops the handle of a poll.
#[test]
fn close_that_cannot_cancel_against_dropped_poll() {
    let bound = Bound::Preemptions(3, "12,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new().uncancellable();
        let queue = machine.queue(1);
        let poll = queue.submit(file(), Op::poll(PollEvents::IN)).unwrap();
        let dropper = thread::spawn(move || drop(poll));
        queue.close().unwrap();
        dropper.join().unwrap();
        machine.assert_over();
    });
}
