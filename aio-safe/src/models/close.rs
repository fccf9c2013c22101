//! The end of a queue, against everything else.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use loom::thread;

use super::{
    Bound, Machine, Task, check, file,
    kernel::{NO_ROOM, REFUSED},
    poll,
};
use crate::{
    Op, OpError,
    error::{CloseError, QueueError, ReapError},
};

/// Whether this is the panic of a thread that takes the result of an operation that is lost.
fn says_lost(panic: &dyn Any) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| text.contains("can't be destroyed"))
}

/// Closing while another thread submits: the operation is either carried out or handed back.
#[test]
fn close_against_submission() {
    let bound = Bound::Preemptions(3, "14,000 executions, several times as many with 4");
    check(bound, &["carried out", "handed back"], |seen| {
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
}

/// Closing while another thread sleeps in the kernel as the leader, with nothing in flight.
#[test]
fn close_against_reaper() {
    let bound = Bound::Preemptions(4, "2,500 executions, several times as many with 5");
    check(bound, &[], |_| {
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
    let bound = Bound::Preemptions(3, "40,000 executions, several times as many with 4");
    check(bound, &[], |_| {
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
    let bound = Bound::Preemptions(2, "37,000 executions, several times as many with 3");
    check(bound, &[], |_| {
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
    let bound = Bound::Preemptions(3, "73,000 executions, several times as many with 4");
    check(bound, &[], |_| {
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
    let bound = Bound::None;
    check(bound, &[], |_| {
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
    let bound = Bound::Preemptions(3, "18,000 executions, several times as many with 4");
    check(bound, &[], |_| {
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

/// The last queue is dropped while two handles live on: the last of the three frees the memory.
#[test]
fn handles_outlive_the_queue() {
    let bound = Bound::Preemptions(1, "3,800 executions, several times as many with 2");
    check(bound, &[], |_| {
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

/// The context breaks while a thread waits and another one submits: what the kernel has no room
/// for, what it refuses, or a read. The waiter gets EIO, and the submitter the kernel's answer.
#[test]
fn given_up_while_submitting() {
    for offset in [NO_ROOM, REFUSED, 5] {
        let answered = if offset == NO_ROOM {
            "again"
        } else {
            "submitted"
        };
        let bound = Bound::Preemptions(3, "25,000 executions, several times as many with 4");
        check(bound, &[answered, "closed"], move |seen| {
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
    }
}

/// A context that can't be destroyed: `close` returns the error, and the queue's memory is freed.
#[test]
fn indestructible_context() {
    let bound = Bound::Preemptions(3, "16,000 executions, several times as many with 4");
    check(bound, &[], |_| {
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

/// A context that can't be destroyed: a task that awaits a poll is woken, and told by a panic.
#[test]
fn indestructible_context_against_a_future() {
    let bound = Bound::Preemptions(4, "9,300 executions, several times as many with 5");
    // A failed model panics too, so only the expected panic isn't printed.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !says_lost(info.payload()) {
            print(info);
        }
    }));
    check(bound, &["woken", "lost at once"], |seen| {
        let machine = Machine::new().uncancellable().indestructible();
        let queue = machine.queue(1);
        let mut never = queue
            .submit(file(), Op::poll(crate::op::PollEvents::IN))
            .unwrap();
        let other = thread::spawn({
            let seen = seen.clone();
            move || {
                let task = Task::new();
                let mut poll = || catch_unwind(AssertUnwindSafe(|| poll(&mut never, &task)));
                let mut polled = poll();
                seen.note(if polled.is_ok() {
                    "woken"
                } else {
                    "lost at once"
                });
                while let Ok(Poll::Pending) = polled {
                    task.sleep();
                    polled = poll();
                }
                assert!(polled.is_err_and(|panic| says_lost(&*panic)));
            }
        });
        assert!(matches!(queue.close(), Err(CloseError::Destroy(_))));
        other.join().unwrap();
        machine.assert_over();
    });
}

/// Two handles outlive their queue, and end in two threads: the last one frees the memory.
#[test]
fn last_of_two_handles() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let [first, second] =
            [1, 2].map(|n| queue.submit(file(), Op::read(machine.buffer(), n)).unwrap());
        drop(queue);
        let other = thread::spawn(move || drop(second));
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// The context breaks while a thread waits for its operation, and another thread closes the queue.
/// Whichever destroys the context, the other one's kick doesn't reach it afterwards.
#[test]
fn close_against_giving_up() {
    let bound = Bound::Preemptions(
        3,
        "one each: to kick, to mark the context as dead, to leave",
    );
    check(bound, &["closed", "given up"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let waiter = thread::spawn(move || {
            if let Err(error) = read.wait().result {
                assert_eq!(error, OpError::Failed(crate::Errno::EIO));
            }
        });
        machine.break_down();
        seen.note(match queue.close() {
            Ok(()) => "closed",
            Err(CloseError::Closed) => "given up",
            Err(error) => unreachable!("{error}"),
        });
        waiter.join().unwrap();
        machine.assert_over();
    });
}
