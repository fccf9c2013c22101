//! Closing a queue without blocking an executor.

mod common;

use aio_safe::{Op, Queue, error::CloseError, op::PollEvents};
use common::{Fake, Woken, alone, block_on, panicking_waker, poll_once, use_up_threads, within};

#[test]
fn a_queue_is_closed_in_a_thread_and_its_results_are_kept() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let read = queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap();
        let other = queue.clone();
        let mut closing = queue.close_in_thread();
        let (replaced, first) = Woken::new();
        let waker = Woken::new().1;
        for waker in [&first, &waker] {
            let polled = poll_once(&mut closing, waker);
            assert!(polled.is_pending(), "a read is in flight");
        }
        fake.complete(0);
        assert_eq!(block_on(closing), Ok(()));
        assert_eq!(replaced.count(), 0);
        assert!(fake.is_destroyed());
        assert!(read.try_take().is_ok());
        let mut again = other.close_in_thread();
        assert_eq!(block_on(&mut again), Err(CloseError::Closed));
        assert!(format!("{again:?}").contains("is_over: true"));
        for _ in 0..2 {
            let panic = common::caught(|| poll_once(&mut again, &waker));
            assert!(common::text(&*panic).contains("polled after"));
        }
    });
}

#[test]
fn closing_goes_on_when_nobody_waits_for_it() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
        drop(queue.close_in_thread());
        while !fake.is_destroyed() {
            std::thread::yield_now();
        }
    });
}

#[test]
fn the_panic_of_a_waker_goes_on_in_the_task_that_waits() {
    within(20, || {
        let queue = Queue::builder(1)
            .driver(aio_safe::queue::Driver::Caller)
            .build()
            .unwrap();
        let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        assert!(poll_once(&mut poll, &panicking_waker()).is_pending());
        let closing = queue.close_in_thread();
        let panic = common::caught(move || block_on(closing));
        assert!(!common::text(&*panic).is_empty());
        assert!(poll.is_done());
    });
}

/// Two panics at once would abort the process.
#[test]
fn a_wakers_destructor_panics_beside_the_panic_that_goes_on() {
    alone(
        "a_wakers_destructor_panics_beside_the_panic_that_goes_on",
        || {
            let fake = Fake::new();
            let queue = common::driven_by_test(1, fake.clone()).unwrap();
            let mut read = common::read(&queue);
            assert!(poll_once(&mut read, &panicking_waker()).is_pending());
            fake.complete(0);
            let mut closing = queue.close_in_thread();
            while !format!("{closing:?}").contains("is_over: true") {
                std::thread::yield_now();
            }
            let (armed, waker) = common::waker_panicking_in_drop();
            armed.store(1, std::sync::atomic::Ordering::SeqCst);
            let panic = common::caught(|| poll_once(&mut closing, &waker));
            assert_eq!(common::text(&*panic), "a waker panics");
            armed.store(0, std::sync::atomic::Ordering::SeqCst);
        },
    );
}

#[test]
fn without_a_thread_it_is_closed_at_once() {
    alone("without_a_thread_it_is_closed_at_once", || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
        use_up_threads();
        let closing = queue.close_in_thread();
        assert!(fake.is_destroyed());
        assert_eq!(block_on(closing), Ok(()));
    });
}
