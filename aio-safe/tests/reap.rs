//! Reaping in a loop of one's own.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Op, Queue, error::ReapError};
use common::{Fake, OnDrop, Tracked, With, WithoutRing, read, within};

const A_MILLISECOND: Option<Duration> = Some(Duration::from_millis(1));

/// Submits an operation and abandons it; when it is over and its buffer dropped, it is followed by
/// another one.
fn submit_without_end(queue: &Queue, stop: &Arc<AtomicBool>) {
    let (other, stop) = (queue.clone(), Arc::clone(stop));
    let again = OnDrop::new(move || {
        if !stop.load(SeqCst) {
            submit_without_end(&other, &stop);
        }
    });
    let buffer = With(Tracked::new(8, &Arc::default()), again);
    // There may be no slot: its own is freed later.
    drop(queue.submit(std::io::stdin(), Op::read(buffer, 0)));
}

#[test]
fn a_reap_keeps_to_its_minimum_and_its_time_while_others_submit_without_end() {
    within(60, || {
        let stop = Arc::new(AtomicBool::new(false));
        // In the end they would keep the queue, which they hold.
        let give_up = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                for _ in 0..100 {
                    thread::sleep(Duration::from_millis(50));
                    if stop.load(SeqCst) {
                        return;
                    }
                }
                stop.store(true, SeqCst);
            })
        };
        let queue = common::driven_by_test(400, Fake::prompt()).unwrap();
        for _ in 0..200 {
            submit_without_end(&queue, &stop);
        }
        for (min, timeout) in [(0, None), (1, A_MILLISECOND), (1, None), (300, None)] {
            let start = Instant::now();
            let n = queue.reap(min, timeout).unwrap();
            let took = start.elapsed();
            assert!(took < Duration::from_secs(2), "{min} {timeout:?}: {took:?}");
            assert!(n >= min && n <= 400 + 64, "{n} of {min}");
        }
        // More than ever come in this time.
        let start = Instant::now();
        queue
            .reap(usize::MAX, Some(Duration::from_millis(50)))
            .unwrap();
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(!stop.swap(true, SeqCst), "a reap had no end");
        give_up.join().unwrap();
        queue.drain().unwrap();
    });
}

#[test]
fn a_reap_returns_soon_while_another_thread_submits_without_end() {
    within(60, || {
        for queue in [
            Queue::new(256).unwrap(),
            common::driven_by_test(256, WithoutRing::default()).unwrap(),
        ] {
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let start = Instant::now();
                        while !stop.load(SeqCst) && start.elapsed() < Duration::from_secs(6) {
                            drop(queue.submit(&zeros, Op::read(Vec::new(), 0)));
                        }
                    });
                }
                for _ in 0..20 {
                    let start = Instant::now();
                    queue.reap(1, A_MILLISECOND).unwrap();
                    let took = start.elapsed();
                    assert!(took < Duration::from_secs(2), "it took {took:?}");
                }
                stop.store(true, SeqCst);
            });
        }
    });
}

#[test]
fn threads_that_reap_by_a_reaper_end_with_the_last_queue() {
    within(30, || {
        for on_linux in [false, true] {
            for timeout in [None, Some(Duration::from_secs(600))] {
                let fake = Fake::new();
                let queue = if on_linux {
                    Queue::new(4)
                } else {
                    common::driven_by_test(4, fake.clone())
                }
                .unwrap();
                let reaper = queue.reaper();
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        let reaper = reaper.clone();
                        thread::spawn(move || {
                            loop {
                                if let Err(over) = reaper.reap(1, timeout) {
                                    return over;
                                }
                            }
                        })
                    })
                    .collect();
                let lane = queue.lane::<common::Bytes, ()>(1).unwrap();
                thread::sleep(Duration::from_millis(30));
                drop(queue.clone());
                drop(queue);
                thread::sleep(Duration::from_millis(30));
                assert!(!threads.iter().any(thread::JoinHandle::is_finished));
                // A lane is a queue, too; it is the last.
                drop(lane);
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), ReapError::Closed);
                }
                assert_eq!(reaper.reap(0, None), Err(ReapError::Closed));
                assert_eq!(fake.is_destroyed(), !on_linux);
                let watch = fake.watch();
                drop(fake);
                drop(reaper);
                assert_eq!(watch.strong_count(), 0, "nothing is left of the queue");
            }
        }
    });
}

#[test]
fn a_reaper_outlives_its_queue_and_all_handles() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let [one, two] = [queue.reaper(), queue.reaper()];
    let done = common::tracked(&queue, &drops);
    let late = read(&queue);
    fake.complete(0);
    assert_eq!(one.reap(1, None), Ok(1));
    fake.complete(0);
    assert_eq!(one.clone().reap(0, None), Ok(1));
    drop(queue);
    drop(done);
    assert_eq!(two.reap(1, None), Err(ReapError::Closed));
    drop(one);
    drop(late);
    assert_eq!(two.reap(1, A_MILLISECOND), Err(ReapError::Closed));
    assert_eq!(drops.load(SeqCst), 1);
    let watch = fake.watch();
    drop(fake);
    assert_eq!(watch.strong_count(), 1);
    drop(two);
    assert_eq!(watch.strong_count(), 0);
}
