//! Reapers, which keep the memory of a queue, but not the queue open.

use loom::thread;

use super::{Bound, Machine, check, file};
use crate::{Op, error::ReapError, queue::Reaper};

/// Reaps until the queue is closed.
fn reap_to_the_end(reaper: &Reaper) {
    loop {
        match reaper.reap(1, None) {
            Ok(_) => {}
            Err(ReapError::Closed) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The last queue is dropped while a reaper leads, with an abandoned operation in flight: the
/// dropping thread takes the role and closes the queue, and the last of both threads frees the
/// memory.
#[test]
fn reaper_against_the_last_queue() {
    let bound = Bound::Preemptions(3, "27,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        drop(queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap());
        let reaper = queue.reaper();
        let thread = thread::spawn(move || reap_to_the_end(&reaper));
        drop(queue);
        thread.join().unwrap();
        machine.assert_over();
    });
}

/// The last queue is dropped while two reapers wait, one of which leads.
#[test]
fn two_reapers_against_the_last_queue() {
    let bound = Bound::Preemptions(2, "2,000 executions, 40,000 with 3");
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = queue.reaper();
        let threads =
            [reaper.clone(), reaper].map(|reaper| thread::spawn(move || reap_to_the_end(&reaper)));
        drop(queue);
        for thread in threads {
            thread.join().unwrap();
        }
        machine.assert_over();
    });
}

/// Two clones of a reaper are dropped in two threads, together with a queue that was closed before.
#[test]
fn last_of_two_reapers() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let reaper = queue.reaper();
        queue.clone().close().unwrap();
        let other = thread::spawn({
            let reaper = reaper.clone();
            move || drop(reaper)
        });
        drop(queue);
        drop(reaper);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// The queue is gone. A reaper ends in one thread and a handle in another: the last one frees the
/// memory.
#[test]
fn reaper_against_a_handle() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::new();
        let queue = machine.queue(1);
        let read = queue.submit(file(), Op::read(machine.buffer(), 1)).unwrap();
        let reaper = queue.reaper();
        drop(queue);
        let other = thread::spawn(move || {
            assert_eq!(reaper.reap(0, None), Err(ReapError::Closed));
        });
        assert_eq!(read.wait().into_result().unwrap().1.byte(), 1);
        other.join().unwrap();
        machine.assert_over();
    });
}
