//! The end of a queue, against everything else.

use loom::thread;

use super::{
    Machine, Reached, check, file,
    kernel::{NO_ROOM, REFUSED},
};
use crate::{
    Op, OpError,
    error::{CloseError, QueueError, ReapError},
};

/// Closing while another thread submits: the operation is either carried out or handed back.
#[test]
fn close_against_submission() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(3), move || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let submitter = thread::spawn({
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || match queue.submit(file(), Op::read(buffer, 1)) {
                Ok(read) => {
                    seen.note("carried out");
                    assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
                }
                Err(error) => {
                    seen.note("handed back");
                    assert!(matches!(error.reason, QueueError::Closed));
                    drop(error.op);
                }
            }
        });
        queue.close().unwrap();
        submitter.join().unwrap();
        machine.assert_over();
    });
    reached.assert(&["carried out", "handed back"]);
}

/// Closing while another thread sleeps in the kernel as the leader, with nothing in flight.
#[test]
fn close_against_reaper() {
    check(Some(3), || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert!(matches!(queue.reap(1, None), Err(ReapError::Closed)))
        });
        queue.close().unwrap();
        reaper.join().unwrap();
        machine.assert_over();
    });
}

/// As before, with two threads that reap.
#[test]
fn close_against_two_reapers() {
    check(Some(3), || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reapers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || assert!(matches!(queue.reap(1, None), Err(ReapError::Closed))))
        });
        queue.close().unwrap();
        for reaper in reapers {
            reaper.join().unwrap();
        }
        machine.assert_over();
    });
}

/// Closing while a refused operation is submitted, and a third thread sleeps in the kernel.
#[test]
fn close_against_refusal_and_reaper() {
    check(Some(2), || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || assert!(matches!(queue.reap(1, None), Err(ReapError::Closed)))
        });
        let submitter = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || match queue.submit(file(), Op::read(buffer, REFUSED)) {
                Ok(refused) => {
                    assert!(matches!(refused.wait().result, Err(OpError::Refused(_))));
                }
                Err(error) => assert!(matches!(error.reason, QueueError::Closed)),
            }
        });
        queue.close().unwrap();
        reaper.join().unwrap();
        submitter.join().unwrap();
        machine.assert_over();
    });
}

/// Closing while another thread waits for its operation.
#[test]
fn close_against_waiter() {
    check(Some(3), || {
        let machine = Machine::new();
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
        queue.close().unwrap();
        waiter.join().unwrap();
        machine.assert_over();
    });
}

/// Two threads drop the last two handles of the queue.
#[test]
fn last_of_two_queues() {
    check(Some(3), || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let other = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || {
                drop(queue.submit(file(), Op::read(buffer, 1)));
                drop(queue);
            }
        });
        drop(queue);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// The last queue is dropped while a handle lives on in another thread.
#[test]
fn handle_outlives_the_queue() {
    check(Some(3), || {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn(move || {
            assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
        });
        drop(queue);
        waiter.join().unwrap();
        machine.assert_over();
    });
}

/// The last queue is dropped while two handles live on: whoever is last frees the slab.
#[test]
fn handles_outlive_the_queue() {
    check(Some(1), || {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let threads = [1, 2].map(|n| {
            let read = queue.submit(file(), Op::read(machine.buffer(), n)).unwrap();
            thread::spawn(move || {
                if n == 1 {
                    assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
                } else {
                    drop(read);
                }
            })
        });
        drop(queue);
        for thread in threads {
            thread.join().unwrap();
        }
        machine.assert_over();
    });
}

/// The context breaks while a thread waits and another one submits what the kernel has no room for, or
/// refuses: the waiter gets EIO, and the submitter what it would have got.
#[test]
fn given_up_while_submitting() {
    for offset in [NO_ROOM, REFUSED, 5] {
        let reached = Reached::default();
        let seen = reached.clone();
        check(Some(3), move || {
            let machine = Machine::new();
            let queue = machine.queue(2);
            let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
            machine.break_down();
            let submitter = thread::spawn({
                let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
                move || match queue.submit(file(), Op::read(buffer, offset)) {
                    Ok(read) => {
                        seen.note("submitted");
                        let _ = read.wait().result.unwrap_err();
                    }
                    Err(error) => {
                        seen.note(match error.reason {
                            QueueError::Again => "again",
                            QueueError::Closed => "closed",
                            _ => unreachable!(),
                        });
                        drop(error.op);
                    }
                }
            });
            let result = read.wait().result;
            assert_eq!(result, Err(OpError::Failed(crate::Errno::EIO)));
            submitter.join().unwrap();
            assert_eq!(queue.in_flight(), 0);
            drop(queue);
            machine.assert_over();
        });
        let answered = if offset == NO_ROOM {
            "again"
        } else {
            "submitted"
        };
        reached.assert(&[answered, "closed"]);
    }
}

/// A context that can't be destroyed: closing says so, and what the kernel may still use stays.
#[test]
fn indestructible_context() {
    check(Some(3), || {
        let machine = Machine::new().indestructible();
        let queue = machine.queue(1);
        let poll = queue
            .submit(file(), Op::poll(crate::op::PollEvents::IN))
            .unwrap();
        let dropper = thread::spawn(move || drop(poll));
        let closed = queue.close();
        assert!(matches!(closed, Err(CloseError::Destroy(_))));
        dropper.join().unwrap();
        machine.assert_over();
    });
}
