//! Handles as futures, on an executor of the test's own.

mod common;

use std::{panic::AssertUnwindSafe, task::Poll, thread, time::Duration};

use aio_safe::{Op, Queue};
use common::{Fake, Scratch, Woken, block_on, pattern, poll_once, read, within};

#[test]
fn a_future_is_woken_by_whoever_reaps() {
    within(30, || {
        let scratch = Scratch::new();
        let bytes = pattern(8192);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(8).unwrap();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        for n in 0..200 {
            let offset = n * 40;
            let op = Op::read(vec![0; 192], offset);
            let (n, buffer) = block_on(queue.submit(&file, op).unwrap())
                .into_result()
                .unwrap();
            assert_eq!((n, &buffer[..]), (192, &bytes[offset as usize..][..192]));
        }
        queue.close().unwrap();
        reaper.join().unwrap();
    });
}

#[test]
fn the_latest_waker_counts() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut pending = read(&queue);
    let (first, first_waker) = Woken::new();
    let (second, second_waker) = Woken::new();
    assert!(poll_once(&mut pending, &first_waker).is_pending());
    assert!(poll_once(&mut pending, &first_waker).is_pending());
    assert!(poll_once(&mut pending, &second_waker).is_pending());
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
    // The one that was replaced is let go, and so is the one that was woken.
    drop((first_waker, second_waker));
    assert_eq!(std::sync::Arc::strong_count(&first), 1);
    assert_eq!(std::sync::Arc::strong_count(&second), 1);
    let Poll::Ready(done) = poll_once(&mut pending, std::task::Waker::noop()) else {
        panic!("it was reaped");
    };
    assert_eq!(done.buffer, [Fake::BYTE; 8]);
}

#[test]
fn a_future_that_was_polled_can_be_waited_for() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (_, waker) = Woken::new();
        for as_follower in [false, true] {
            let mut pending = read(&queue);
            assert!(poll_once(&mut pending, &waker).is_pending());
            let leader = as_follower.then(|| {
                let queue = queue.clone();
                let leader = thread::spawn(move || queue.reap(1, None));
                fake.until_blocked(1);
                leader
            });
            let waiter = thread::spawn(move || pending.wait());
            thread::sleep(Duration::from_millis(30));
            fake.until_blocked(1);
            fake.complete(0);
            assert_eq!(waiter.join().unwrap().buffer, [Fake::BYTE; 8]);
            if let Some(leader) = leader {
                leader.join().unwrap().unwrap();
            }
        }
    });
}

#[test]
fn a_wait_that_ran_out_of_time_can_be_polled() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut pending = read(&queue)
        .wait_timeout(Duration::from_millis(5))
        .unwrap_err();
    let (woken, waker) = Woken::new();
    assert!(poll_once(&mut pending, &waker).is_pending());
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(woken.count(), 1);
    assert!(poll_once(&mut pending, &waker).is_ready());
}

#[test]
fn polling_after_ready_panics() {
    let queue = common::driven_by_test(4, Fake::prompt()).unwrap();
    let mut pending = read(&queue);
    queue.reap(1, None).unwrap();
    let noop = std::task::Waker::noop();
    assert!(poll_once(&mut pending, noop).is_ready());
    let again = AssertUnwindSafe(|| poll_once(&mut pending, noop));
    let panic = std::panic::catch_unwind(again).unwrap_err();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap();
    assert!(text.contains("taken before"), "{text}");
    // It is still only a handle that has nothing: dropping it does nothing.
    drop(pending);
    read(&queue).wait().result.unwrap();
}

#[test]
fn wakers_that_change_while_completions_come_are_never_lost() {
    within(60, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        for n in 0..20_000 {
            let mut pending = read(&queue);
            // Replaced a few times, each time by another; then waited for by the last.
            for _ in 0..n % 4 {
                let (_, waker) = Woken::new();
                if poll_once(&mut pending, &waker).is_ready() {
                    pending = read(&queue);
                }
            }
            assert_eq!(block_on(pending).buffer, [Fake::BYTE; 8]);
        }
        queue.close().unwrap();
        reaper.join().unwrap();
    });
}
