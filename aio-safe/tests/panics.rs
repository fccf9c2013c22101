//! Panics in foreign code - wakers, destructors, `AsFd` - leave the queue in order: nothing is lost
//! but what panicked.

mod common;

use std::{
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Wake, Waker},
    thread,
};

use aio_safe::Op;
use common::{
    Either, Fake, PanickingFile, PanicsOnDrop, Tracked, WithRing, Woken, caught, panicking_waker,
    poll_once, read, room, text, tracked, waker_panicking_in_clone, waker_panicking_in_drop,
    within,
};

/// A panic's payload that panics once more when it is dropped.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a panic's payload panics");
    }
}

struct PanicsTwice;

impl Wake for PanicsTwice {
    fn wake(self: Arc<Self>) {
        panic_any(PanicsAgain);
    }
}

#[test]
fn a_panicking_waker_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut reads: Vec<_> = (0..5).map(|_| read(&queue)).collect();
        let (woken, waker) = Woken::new();
        for (n, read) in reads.iter_mut().enumerate() {
            let waker = if n % 2 == 0 {
                panicking_waker()
            } else {
                waker.clone()
            };
            assert!(poll_once(read, &waker).is_pending());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(5, None));
        assert_eq!(text(&*panic), "a waker panics");
        assert_eq!(woken.count(), 2);
        for read in reads {
            assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
        }
        assert_eq!(queue.in_flight(), 0);
        queue.close().unwrap();
    });
}

#[test]
fn a_future_survives_the_panic_of_anothers_waker() {
    within(20, || {
        let fake = Fake::new();
        let kernel = WithRing::new(fake.clone());
        let queue = common::driven_by_test(2, kernel.clone()).unwrap();
        let mut other = read(&queue);
        let mut polled = read(&queue);
        assert!(poll_once(&mut other, &panicking_waker()).is_pending());
        for _ in 0..2 {
            kernel.post(fake.carry_out(0, None));
        }
        let waker = Waker::noop();
        caught(|| poll_once(&mut polled, waker));
        assert!(poll_once(&mut polled, waker).is_ready());
        assert!(poll_once(&mut other, waker).is_ready());
        assert_eq!(queue.in_flight(), 0);
    });
}

#[test]
fn close_goes_on_after_a_panic_and_tells_it_in_the_end() {
    within(20, || {
        for by_drop in [false, true] {
            let fake = Fake::new();
            let queue = common::driven_by_test(8, fake.clone()).unwrap();
            let mut reads: Vec<_> = (0..3).map(|_| read(&queue)).collect();
            for read in &mut reads {
                assert!(poll_once(read, &panicking_waker()).is_pending());
            }
            let closer = thread::spawn(move || {
                if by_drop {
                    drop(queue);
                } else {
                    queue.close().unwrap();
                }
            });
            for _ in 0..3 {
                fake.until_blocked(1);
                assert!(!fake.is_destroyed());
                fake.complete(0);
            }
            let panic = closer.join().unwrap_err();
            assert_eq!(text(&*panic), "a waker panics");
            assert!(fake.is_destroyed(), "dropped: {by_drop}");
            for read in reads {
                assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
            }
        }
    });
}

#[test]
fn a_queue_dropped_by_a_panic_does_not_abort() {
    within(20, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut first = read(&queue);
        assert!(poll_once(&mut first, &panicking_waker()).is_pending());
        let panic = caught(move || {
            let _queue = queue;
            panic!("the first of all");
        });
        assert_eq!(text(&*panic), "the first of all");
        assert!(fake.is_destroyed());
        assert_eq!(first.wait().buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn a_panic_that_panics_again_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut reads: Vec<_> = (0..4).map(|_| read(&queue)).collect();
        let (woken, waker) = Woken::new();
        for (n, read) in reads.iter_mut().enumerate() {
            let waker = if n < 3 {
                Arc::new(PanicsTwice).into()
            } else {
                waker.clone()
            };
            assert!(poll_once(read, &waker).is_pending());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(4, None));
        std::mem::forget(panic);
        assert_eq!(woken.count(), 1);
    });
}

#[test]
fn a_panicking_destructor_of_an_abandoned_buffer_frees_its_slot() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let op = Op::read(PanicsOnDrop(Tracked::new(32, &drops)), 0);
            drop(queue.submit(std::io::stdin(), op).unwrap());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(2, None));
        assert_eq!(text(&*panic), "a buffer's destructor panics");
        assert_eq!(
            drops.load(SeqCst),
            2,
            "what is inside is dropped all the same"
        );
        fake.set_prompt(true);
        for _ in 0..2 {
            std::mem::forget(read(&queue));
        }
    });
}

#[test]
fn a_panicking_destructor_at_the_handle_frees_the_slot() {
    within(20, || {
        let queue = common::driven_by_test(1, Fake::prompt()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let op = Op::read(PanicsOnDrop(Tracked::new(32, &drops)), 0);
        let done = queue.submit(std::io::stdin(), op).unwrap();
        queue.reap(1, None).unwrap();
        let panic = caught(|| drop(done));
        assert_eq!(text(&*panic), "a buffer's destructor panics");
        assert_eq!(drops.load(SeqCst), 1);
        read(&queue).wait().result.unwrap();
    });
}

#[test]
fn a_batch_drops_all_of_its_operations_even_if_one_panics() {
    within(20, || {
        let queue = common::driven_by_test(4, Fake::new()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut batch = queue.batch();
        batch
            .push(&file, Op::read(Either::B(Tracked::new(8, &drops)), 0))
            .unwrap();
        batch
            .push(
                &file,
                Op::read(Either::A(PanicsOnDrop(Tracked::new(8, &drops))), 0),
            )
            .unwrap();
        batch
            .push(&file, Op::read(Either::B(Tracked::new(8, &drops)), 0))
            .unwrap();
        caught(|| drop(batch));
        assert_eq!(drops.load(SeqCst), 3);
        let all: Vec<_> = (0..4).map(|_| read(&queue)).collect();
        std::mem::forget(all);
        std::mem::forget(queue);
    });
}

#[test]
fn a_file_that_panics_costs_no_slot() {
    within(20, || {
        let queue = common::driven_by_test(1, Fake::prompt()).unwrap();
        for _ in 0..3 {
            let submit = || {
                queue
                    .submit(PanickingFile, Op::read(vec![0; 8], 0))
                    .map(drop)
            };
            caught(submit);
            let push = || {
                let mut batch = queue.batch();
                batch.push(&PanickingFile, Op::read(vec![0; 8], 0)).unwrap();
            };
            caught(push);
            let reserved = || {
                let permit = queue.reserve().wait().unwrap();
                permit.submit(PanickingFile, Op::fsync()).map(drop)
            };
            caught(reserved);
        }
        read(&queue).wait().result.unwrap();
    });
}

#[test]
fn a_waker_that_panics_in_clone_or_drop_is_survived() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let mut pending = read(&queue);
        let waker = waker_panicking_in_clone();
        caught(|| poll_once(&mut pending, &waker));

        let (armed, waker) = waker_panicking_in_drop();
        assert!(poll_once(&mut pending, &waker).is_pending());
        armed.store(1, SeqCst);
        let (woken, other) = Woken::new();
        caught(|| poll_once(&mut pending, &other));
        assert!(poll_once(&mut pending, &other).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert_eq!(woken.count(), 1);
        assert!(poll_once(&mut pending, &other).is_ready());

        // The waker of an abandoned operation panics in its destructor.
        let mut pending = read(&queue);
        assert!(poll_once(&mut pending, &waker).is_pending());
        drop(pending);
        fake.complete(0);
        armed.store(1, SeqCst);
        caught(|| queue.reap(1, None));
        fake.set_prompt(true);
        for _ in 0..2 {
            std::mem::forget(read(&queue));
        }
    });
}

#[test]
fn an_abandoned_buffer_is_dropped_though_the_waker_beside_it_panics_in_its_destructor() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let (armed, waker) = waker_panicking_in_drop();
        let mut future = tracked(&queue, &drops);
        assert!(poll_once(&mut future, &waker).is_pending());
        drop(future);
        armed.store(1, SeqCst);
        fake.complete(0);
        let panic = caught(|| queue.reap(1, None));
        assert!(text(&*panic).contains("drop panics"));
        assert_eq!((drops.load(SeqCst), room(&queue)), (1, 2));

        // Both panic, and the first panic is told.
        let op = Op::read(PanicsOnDrop(Tracked::new(8, &drops)), 0);
        let mut future = queue.submit(std::io::stdin(), op).unwrap();
        assert!(poll_once(&mut future, &waker).is_pending());
        drop(future);
        armed.store(1, SeqCst);
        fake.complete(0);
        let panic = caught(|| queue.reap(1, None));
        assert!(text(&*panic).contains("drop panics"));
        assert_eq!((drops.load(SeqCst), room(&queue)), (2, 2));
    });
}
