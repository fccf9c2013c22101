//! Handles that are dropped or forgotten while the kernel still uses the buffer.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use aio_safe::{Op, Queue, error::QueueError, op::PollEvents};
use common::{Fake, Tracked, With, Woken, poll_once, tracked, within};

#[test]
fn a_dropped_handle_leaves_the_buffer_to_the_kernel() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    drop(tracked(&queue, &drops));
    fake.touch_all();
    assert_eq!(drops.load(SeqCst), 0);
    fake.complete(0);
    // The event is there, but nobody has looked: the buffer stays.
    assert_eq!(drops.load(SeqCst), 0);
    assert_eq!(queue.reap(0, None), Ok(1));
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_dropped_future_leaves_the_buffer_and_lets_its_waker_go() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let (woken, waker) = Woken::new();
    let mut pending = tracked(&queue, &drops);
    assert!(poll_once(&mut pending, &waker).is_pending());
    drop(pending);
    fake.touch_all();
    assert_eq!(drops.load(SeqCst), 0);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    drop(waker);
    assert_eq!((drops.load(SeqCst), woken.count()), (1, 0));
    assert_eq!(Arc::strong_count(&woken), 1);
}

#[test]
fn a_dropped_handle_keeps_its_slot_until_the_operation_is_over() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    drop(tracked(&queue, &drops));
    let op = Op::read(Tracked::new(16, &drops), 0);
    let back = queue.submit(std::io::stdin(), op).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    fake.set_prompt(true);
    drop(queue.submit(std::io::stdin(), back.op).unwrap());
}

#[test]
fn a_handle_dropped_when_the_operation_is_over_drops_the_buffer() {
    let queue = common::driven_by_test(1, Fake::prompt()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    for n in 1..=3 {
        let done = tracked(&queue, &drops);
        queue.reap(1, None).unwrap();
        drop(done);
        assert_eq!(drops.load(SeqCst), n);
    }
}

#[test]
fn a_forgotten_handle_keeps_buffer_and_slot_for_ever() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    std::mem::forget(tracked(&queue, &drops));
    fake.touch_all();
    fake.complete(0);
    assert_eq!(queue.reap(1, None), Ok(1));
    let back = queue.submit(std::io::stdin(), Op::fsync()).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    queue.close().unwrap();
    assert_eq!(drops.load(SeqCst), 0);
}

#[test]
fn buffers_larger_than_a_slot_are_dropped_once_too() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let submit = || {
        let op = Op::read(With(Tracked::new(64, &drops), [7_u64; 40]), 0);
        queue.submit(std::io::stdin(), op).unwrap()
    };
    drop(submit());
    let kept = submit();
    fake.complete_all();
    assert_eq!(queue.reap(2, None), Ok(2));
    assert_eq!(drops.load(SeqCst), 1);
    let done = kept.wait();
    assert_eq!(done.buffer.0.bytes[..], [Fake::BYTE; 64]);
    assert_eq!(done.buffer.1, [7; 40]);
    drop(done);
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn handles_dropped_while_completions_come_free_each_buffer_once() {
    within(60, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        let mut submitted = 0;
        for n in 0..30_000 {
            let op = Op::read(Tracked::new(16, &drops), 0);
            let Ok(mut pending) = queue.submit(std::io::stdin(), op) else {
                thread::yield_now();
                submitted += 1;
                continue;
            };
            submitted += 1;
            if n % 2 == 0 {
                let (_, waker) = Woken::new();
                drop(poll_once(&mut pending, &waker));
            }
            drop(pending);
        }
        queue.drain().unwrap();
        queue.close().unwrap();
        reaper.join().unwrap();
        assert_eq!(drops.load(SeqCst), submitted);
    });
}

#[test]
fn a_dropped_poll_is_cancelled() {
    within(20, || {
        for fake in [false, true] {
            let queue = if fake {
                common::driven_by_test(1, Fake::new()).unwrap()
            } else {
                Queue::new(1).unwrap()
            };
            let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
            for _ in 0..3 {
                drop(queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap());
                queue.drain().unwrap();
            }
        }
    });
}
