//! Results taken one after the other, and places given back together.

use loom::thread;

use super::{Machine, Reached, check, file};
use crate::{Collector, Op};

/// Two results are collected while the queue goes, in another thread: whoever is last frees it.
#[test]
fn collected_while_the_queue_goes() {
    check(Some(3), || {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let reads = [1, 2].map(|n| queue.submit(file(), Op::read(machine.buffer(), n)).unwrap());
        assert_eq!(queue.reap(2, None).unwrap(), 2);
        let other = thread::spawn(move || drop(queue));
        let mut collector = Collector::new();
        for (read, n) in reads.into_iter().zip([1, 2]) {
            assert_eq!(collector.wait(read).ok().unwrap().1.byte(), n);
        }
        drop(collector);
        other.join().unwrap();
        machine.assert_over();
    });
}

/// Results are collected while another thread waits for a place.
#[test]
fn collected_against_reserve() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(2), move || {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let reads = [1, 2].map(|n| queue.submit(file(), Op::read(machine.buffer(), n)).unwrap());
        assert_eq!(queue.reap(2, None).unwrap(), 2);
        let waiter = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || {
                let permit = queue.reserve().wait().unwrap();
                let read = permit.submit(file(), Op::read(buffer, 3)).unwrap();
                assert_eq!(read.wait().ok().unwrap().1.byte(), 3);
            }
        });
        let mut collector = Collector::new();
        for (read, n) in reads.into_iter().zip([1, 2]) {
            assert_eq!(collector.wait(read).ok().unwrap().1.byte(), n);
            seen.note(match queue.in_flight() {
                0 => "before the other",
                _ => "after the other",
            });
        }
        drop(collector);
        waiter.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
    reached.assert(&["before the other", "after the other"]);
}

/// What was collected in one thread is used again in another one.
#[test]
fn collected_slots_are_used_again() {
    let reached = Reached::default();
    let seen = reached.clone();
    check(Some(3), move || {
        let machine = Machine::new();
        let queue = machine.queue(2);
        let reads = [1, 2].map(|n| queue.submit(file(), Op::read(machine.buffer(), n)).unwrap());
        assert_eq!(queue.reap(2, None).unwrap(), 2);
        let other = thread::spawn({
            let (queue, buffer, seen) = (queue.clone(), machine.buffer(), seen.clone());
            move || match queue.submit(file(), Op::read(buffer, 3)) {
                Ok(read) => {
                    seen.note("used again");
                    assert_eq!(read.wait().ok().unwrap().1.byte(), 3);
                }
                Err(_) => seen.note("full"),
            }
        });
        let mut collector = Collector::new();
        for (read, n) in reads.into_iter().zip([1, 2]) {
            assert_eq!(collector.wait(read).ok().unwrap().1.byte(), n);
        }
        drop(collector);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
    reached.assert(&["used again", "full"]);
}
