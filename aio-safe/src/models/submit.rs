//! Submitting: slots claimed, filled, reused; batches; events that belong to nothing.

use loom::thread;

use super::{
    Bound, Machine, check, file,
    kernel::{NO_ROOM, REASON, REFUSED},
};
use crate::{
    Op, OpError,
    error::{QueueError, ReapError},
};

/// Three threads submit to a queue of two slots and wait.
#[test]
fn many_submitters() {
    let bound = Bound::Preemptions(1, "11,000 executions, several times as many with 2");
    check(bound, &["full"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let submit = |n: u64| {
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || match queue.submit(file(), Op::read(buffer, n)) {
                Ok(read) => assert_eq!(read.wait().into_result().unwrap().1.byte(), n as u8),
                Err(error) => {
                    assert!(matches!(error.reason, QueueError::QueueFull));
                    seen.note("full");
                    drop(error.op);
                }
            }
        };
        let threads = [thread::spawn(submit(1)), thread::spawn(submit(2))];
        submit(3)();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(queue);
        machine.assert_over();
    });
}

/// Two threads use the same slot one after the other.
#[test]
fn slot_goes_from_thread_to_thread() {
    let bound = Bound::Preemptions(3, "66,000 executions, several times as many with 4");
    check(bound, &["first", "second"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let submit = |n: u64| {
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || match queue.submit(file(), Op::read(buffer, n)) {
                Ok(read) => {
                    seen.note(if n == 1 { "first" } else { "second" });
                    assert_eq!(read.wait().into_result().unwrap().1.byte(), n as u8);
                }
                Err(error) => drop(error.op),
            }
        };
        let other = thread::spawn(submit(1));
        submit(2)();
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// The kernel has no room: the operation comes back, and its slot is free again.
#[test]
fn handed_back_for_lack_of_room() {
    let bound = Bound::Preemptions(3, "33,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let other = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || {
                let error = queue.submit(file(), Op::read(buffer, NO_ROOM)).unwrap_err();
                drop(error.op);
            }
        });
        match queue.submit(file(), Op::read(machine.buffer(), 2)) {
            Ok(read) => assert_eq!(read.wait().into_result().unwrap().1.byte(), 2),
            Err(error) => assert!(matches!(error.reason, QueueError::QueueFull)),
        }
        other.join().unwrap();
        assert_eq!(queue.in_flight(), 0);
        drop(queue);
        machine.assert_over();
    });
}

/// A batch with refused operations, while another thread reaps: each operation gets its own result.
#[test]
fn batch_with_refusals() {
    let bound = Bound::Preemptions(3, "45,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(3);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                let reaped = queue.reap(1, None);
                assert!(matches!(reaped, Ok(1) | Err(ReapError::Closed)));
            }
        });
        let mut batch = queue.batch();
        let files = [file(), file(), file()];
        let offsets = [REFUSED, 1, REFUSED];
        for (file, offset) in files.iter().zip(offsets) {
            batch
                .push(file, Op::read(machine.buffer(), offset))
                .unwrap();
        }
        let mut handles = Vec::new();
        batch.submit(&mut handles).unwrap();
        drop(batch);
        assert_eq!(handles.len(), 3);
        for (handle, offset) in handles.into_iter().zip(offsets) {
            let result = handle.wait();
            if offset == REFUSED {
                assert_eq!(result.result, Err(OpError::Refused(REASON)));
            } else {
                assert_eq!((result.result, result.buffer.byte()), (Ok(1), 1));
            }
        }
        queue.drain().unwrap();
        assert_eq!(queue.in_flight(), 0);
        queue.close().unwrap();
        reaper.join().unwrap();
        machine.assert_over();
    });
}

/// The kernel has no room for the second operation of a batch, and another thread closes the queue.
#[test]
fn batch_against_close() {
    let bound = Bound::Preemptions(2, "4,100 executions, 56,000 with 3");
    check(bound, &["again", "closed"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let other = thread::spawn({
            let (queue, seen) = (queue.clone(), seen.clone());
            let buffers = [machine.buffer(), machine.buffer()];
            move || {
                let file = file();
                let mut batch = queue.batch();
                for (buffer, offset) in buffers.into_iter().zip([1, NO_ROOM]) {
                    if batch.push(&file, Op::read(buffer, offset)).is_err() {
                        return;
                    }
                }
                let mut handles = Vec::new();
                let result = batch.submit(&mut handles);
                match result {
                    Err(QueueError::Again) => {
                        seen.note("again");
                        assert_eq!((handles.len(), batch.len()), (1, 1));
                    }
                    Err(QueueError::Closed) => {
                        seen.note("closed");
                        assert_eq!((handles.len(), batch.len()), (0, 2));
                    }
                    _ => unreachable!(),
                }
                for handle in handles {
                    assert_eq!(handle.wait().into_result().unwrap().1.byte(), 1);
                }
            }
        });
        queue.close().unwrap();
        other.join().unwrap();
        machine.assert_over();
    });
}

/// An event comes twice. The second one is a stray, even if its slot is in use again.
#[test]
fn stale_event() {
    let bound = Bound::Preemptions(3, "20,000 executions, several times as many with 4");
    check(bound, &["in flight", "before"], |seen| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let first = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        assert_eq!(first.wait().into_result().unwrap().1.byte(), 1);
        machine.repeat_event(0);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.reap(0, None).unwrap();
            }
        });
        let second = queue.submit(file(), Op::read(machine.buffer(), 2)).unwrap();
        seen.note(match queue.stats().strays {
            0 => "in flight",
            _ => "before",
        });
        let (n, buffer) = second.wait().into_result().unwrap();
        assert_eq!((n, buffer.byte()), (1, 2), "not the stale event's result");
        drop(buffer);
        reaper.join().unwrap();
        assert_eq!(queue.stats().strays, 1);
        drop(queue);
        machine.assert_over();
    });
}
