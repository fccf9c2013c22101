//! Collectors: results come as from the handles, and places come back together, when they should.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use aio_safe::{Collector, Op, Pending, Queue, SubmitErrorKind, Transfer};
use common::{Fake, Tracked, within};

type Handles = Vec<Pending<Transfer<Vec<u8>>>>;

/// A full queue, with the handles of what is in it.
fn full(depth: u32, fake: &Fake) -> (Queue, Handles) {
    let queue = Queue::with_kernel(depth, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for n in 0..depth {
        batch.push(&file, Op::read(vec![0; 8], n.into())).unwrap();
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    drop(batch);
    (queue, handles)
}

/// How many operations the queue has room for.
fn room(queue: &Queue) -> usize {
    let file = std::io::stdin();
    let mut batch = queue.batch();
    while batch.push(&file, Op::read(vec![0; 8], 0)).is_ok() {}
    batch.len()
}

#[test]
fn results_are_those_of_the_handles() {
    let fake = Fake::prompt();
    let (queue, handles) = full(100, &fake);
    assert_eq!(room(&queue), 0);
    let mut collector = Collector::new();
    for read in handles {
        let (n, buffer) = collector.wait(read).ok().unwrap();
        assert_eq!((n, buffer), (8, vec![Fake::BYTE; 8]));
    }
    drop(collector);
    assert_eq!(room(&queue), 100, "every place is back");
}

#[test]
fn what_is_not_done_comes_back() {
    let fake = Fake::new();
    let (queue, mut handles) = full(2, &fake);
    let mut collector = Collector::new();
    let first = collector.try_take(handles.remove(0)).unwrap_err();
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(collector.try_take(first).unwrap().result, Ok(8));
    fake.complete_all();
    assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
}

#[test]
fn places_come_back_together_and_at_the_end() {
    let fake = Fake::prompt();
    let (queue, mut handles) = full(8, &fake);
    queue.reap(8, None).unwrap();
    let mut collector = Collector::new();
    for _ in 0..3 {
        let read = handles.pop().unwrap();
        assert_eq!(collector.wait(read).result, Ok(8));
    }
    assert_eq!(room(&queue), 0, "they are kept");
    collector.give_back();
    assert_eq!(room(&queue), 3);
    assert_eq!(collector.wait(handles.pop().unwrap()).result, Ok(8));
    drop(collector);
    assert_eq!(room(&queue), 4);
}

#[test]
fn places_come_back_before_a_wait() {
    within(20, || {
        let fake = Fake::new();
        let (queue, mut handles) = full(2, &fake);
        fake.complete(0);
        queue.reap(1, None).unwrap();
        let mut collector = Collector::new();
        assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
        let last = handles.remove(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(move || collector.wait(last).result);
            fake.until_blocked(1);
            assert_eq!(room(&queue), 1, "nobody keeps a place while it sleeps");
            fake.complete(0);
            assert_eq!(waiter.join().unwrap(), Ok(8));
        });
    });
}

#[test]
fn places_of_different_queues_come_back() {
    let fake = Fake::prompt();
    let (one, of_one) = full(40, &fake);
    let (other, of_other) = full(40, &Fake::prompt());
    let mut collector = Collector::new();
    for (a, b) in of_one.into_iter().zip(of_other) {
        assert_eq!(collector.wait(a).result, Ok(8));
        assert_eq!(collector.wait(b).result, Ok(8));
    }
    drop(collector);
    assert_eq!((room(&one), room(&other)), (40, 40));
}

#[test]
fn who_waits_for_a_place_gets_it_at_once() {
    let fake = Fake::prompt();
    let (queue, mut handles) = full(3, &fake);
    queue.reap(3, None).unwrap();
    let mut collector = Collector::new();
    assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
    let mut first = queue.reserve();
    let mut second = queue.reserve();
    let waker = std::task::Waker::noop();
    assert!(common::poll_once(&mut first, waker).is_pending());
    assert!(common::poll_once(&mut second, waker).is_pending());
    assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
    let places = [
        common::poll_once(&mut first, waker),
        common::poll_once(&mut second, waker),
    ];
    assert!(
        places.iter().all(std::task::Poll::is_ready),
        "the kept one, and the one that came"
    );
    assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
    drop(collector);
    drop(places);
    assert_eq!(room(&queue), 3);
}

#[test]
fn who_waits_for_a_place_gets_it_when_nothing_is_done() {
    let fake = Fake::new();
    let (queue, mut handles) = full(2, &fake);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    let mut collector = Collector::new();
    assert_eq!(collector.wait(handles.remove(0)).result, Ok(8));
    let mut reserve = queue.reserve();
    let waker = std::task::Waker::noop();
    assert!(common::poll_once(&mut reserve, waker).is_pending());
    let last = collector.try_take(handles.remove(0)).unwrap_err();
    let place = common::poll_once(&mut reserve, waker);
    // Else the queue would be waited for when this fails.
    fake.complete_all();
    drop(last);
    assert!(place.is_ready());
}

#[test]
fn kept_places_outlive_the_queue() {
    let fake = Fake::prompt();
    let kernel = fake.watch();
    let (queue, handles) = full(40, &fake);
    drop(fake);
    queue.reap(40, None).unwrap();
    let mut collector = Collector::new();
    let mut handles = handles.into_iter();
    for read in handles.by_ref().take(5) {
        assert_eq!(collector.wait(read).result, Ok(8));
    }
    drop(queue);
    for read in handles {
        assert_eq!(collector.wait(read).result, Ok(8));
    }
    assert!(kernel.upgrade().is_some(), "a kept place keeps the rest");
    drop(collector);
    assert!(
        kernel.upgrade().is_none(),
        "the queue is freed with its last place"
    );
}

#[test]
fn a_forgotten_collector_costs_places_only() {
    let drops = Arc::new(AtomicUsize::new(0));
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(2, fake).unwrap();
    let op = Op::read(Tracked::new(8, &drops), 0);
    let read = queue.submit(std::io::stdin(), op).unwrap();
    let mut collector = Collector::new();
    drop(collector.wait(read));
    std::mem::forget(collector);
    assert_eq!(drops.load(SeqCst), 1);
    assert_eq!(room(&queue), 1);
    queue.close().unwrap();
}

#[test]
fn expected_operations_are_claimed_together() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(40, fake).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    batch.reserve(1000);
    batch.push(&file, Op::read(vec![0; 8], 0)).unwrap();
    assert_eq!(room(&queue), 8, "the places of one word were claimed");
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert_eq!(room(&queue), 39, "what isn't used came back");
    // It holds for the next submission only.
    batch.push(&file, Op::read(vec![0; 8], 0)).unwrap();
    assert_eq!(room(&queue), 38);
    batch.reserve(1000);
    for n in 2..40 {
        batch.push(&file, Op::read(vec![0; 8], n)).unwrap();
    }
    let full = batch.push(&file, Op::read(vec![0; 8], 0)).unwrap_err();
    assert_eq!(full.reason, SubmitErrorKind::QueueFull);
    batch.submit(&mut handles).unwrap();
    assert_eq!(handles.len(), 40);
}

#[test]
fn no_more_places_are_claimed_than_expected() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(64, fake).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    batch.reserve(33);
    for n in 0..33 {
        batch.push(&file, Op::read(vec![0; 8], n)).unwrap();
    }
    assert_eq!(room(&queue), 64 - 33);
}
