//! Foreign code may use the queue that calls it: wakers and destructors reap, submit, wait, reserve
//! and drop.

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use aio_safe::{Lane, Op, Queue, op::Transfer};
use common::{
    Bytes, Does, Fake, Flag, Tracked, TrackedReads, With, poll_once, read, room, tracked_op, within,
};

#[test]
fn a_waker_may_reap_submit_and_wait() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let ran = Arc::new(Flag::default());
        let waker = {
            let (queue, fake, ran) = (queue.clone(), fake.clone(), Arc::clone(&ran));
            let on_wake = move || {
                queue.reap(0, None).unwrap();
                fake.set_prompt(true);
                assert_eq!(read(&queue).wait().buffer, [Fake::BYTE; 8]);
                drop(queue.reserve().wait().unwrap());
                queue.drain().unwrap();
                ran.set();
            };
            Does::waker(on_wake, || ())
        };
        let mut pending = read(&queue);
        assert!(poll_once(&mut pending, &waker).is_pending());
        drop(waker);
        fake.complete(0);
        queue.reap(1, None).unwrap();
        ran.wait();
        pending.wait().result.unwrap();
    });
}

#[test]
fn a_waker_may_drop_the_last_queue() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut first = read(&queue);
        let mut second = read(&queue);
        let third = read(&queue);
        let waker = Does::waker(move || drop(queue), || ());
        assert!(poll_once(&mut first, &waker).is_pending());
        assert!(poll_once(&mut second, &waker).is_pending());
        drop(waker);
        let other = {
            let fake = fake.clone();
            thread::spawn(move || {
                fake.until_blocked(1);
                fake.complete(0);
                // The queue waits for the rest before it goes.
                fake.until_blocked(1);
                fake.complete_all();
            })
        };
        assert_eq!(third.wait().buffer, [Fake::BYTE; 8]);
        other.join().unwrap();
        assert!(fake.is_destroyed());
        assert_eq!(first.wait().buffer, [Fake::BYTE; 8]);
        assert_eq!(second.wait().buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn a_buffer_may_hold_the_last_handle_of_its_own_queue() {
    within(20, || {
        // Abandoned, and dropped by a thread that waits for something else.
        let fake = Fake::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let op = Op::read(With(Tracked::new(16, &drops), queue.clone()), 0);
        let holder = queue.submit(std::io::stdin(), op).unwrap();
        let other = read(&queue);
        drop(holder);
        drop(queue);
        assert_eq!(fake.in_flight().len(), 2);
        let device = {
            let fake = fake.clone();
            thread::spawn(move || {
                fake.until_blocked(1);
                fake.complete(0);
                // The queue goes with the buffer, and waits for the other read.
                fake.until_blocked(1);
                fake.complete(0);
            })
        };
        assert_eq!(other.wait().buffer, [Fake::BYTE; 8]);
        device.join().unwrap();
        assert_eq!(drops.load(SeqCst), 1);
        assert!(fake.is_destroyed());

        // Completed, and dropped with its handle.
        let fake = Fake::prompt();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let op = Op::read(With(Tracked::new(16, &drops), queue.clone()), 0);
        let holder = queue.submit(std::io::stdin(), op).unwrap();
        queue.reap(1, None).unwrap();
        drop(queue);
        drop(holder);
        assert_eq!(drops.load(SeqCst), 2);
        assert!(fake.is_destroyed());
    });
}

#[test]
fn a_waker_that_uses_the_queue_in_its_destructor_loses_no_place_in_line() {
    within(20, || {
        for reserving in [false, true] {
            let fake = Fake::new();
            let queue = common::driven_by_test(2, fake.clone()).unwrap();
            // Somebody leads, and gives up the role without having served us.
            let leader = {
                let queue = queue.clone();
                thread::spawn(move || queue.reap(1, Some(Duration::from_millis(300))))
            };
            fake.until_blocked(1);
            let mut first = read(&queue);
            let waker = {
                let queue = queue.clone();
                let on_drop = move || {
                    // Stands in line for a while, and leaves it again.
                    queue.reap(1, Some(Duration::from_millis(50))).unwrap();
                };
                Does::waker(|| (), on_drop)
            };
            let waiter = {
                let queue = queue.clone();
                let mut second = read(&queue);
                if reserving {
                    thread::spawn(move || {
                        let mut reserve = queue.reserve();
                        assert!(poll_once(&mut reserve, &waker).is_pending());
                        drop(waker);
                        drop(reserve.wait().unwrap());
                        drop(second);
                    })
                } else {
                    assert!(poll_once(&mut second, &waker).is_pending());
                    drop(waker);
                    thread::spawn(move || drop(second.wait()))
                }
            };
            assert_eq!(leader.join().unwrap(), Ok(0));
            fake.until_blocked(1);
            let abandon = poll_once(&mut first, Waker::noop()).is_pending();
            assert!(abandon);
            drop(first);
            fake.complete_all();
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_waker_of_a_full_queue_may_use_it() {
    within(20, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(1, fake).unwrap();
        let ran = Arc::new(Flag::default());
        let first = read(&queue);
        let mut reserve = queue.reserve();
        let waker = {
            let (queue, ran) = (queue.clone(), Arc::clone(&ran));
            let on_wake = move || {
                // The slot belongs to another operation by now.
                assert!(
                    queue
                        .reserve()
                        .wait_timeout(Duration::from_millis(10))
                        .is_err()
                );
                queue.reap(0, None).unwrap();
                ran.set();
            };
            Does::waker(on_wake, || ())
        };
        assert!(poll_once(&mut reserve, &waker).is_pending());
        drop(waker);
        first.wait().result.unwrap();
        ran.wait();
        let permit = reserve.wait().unwrap();
        permit
            .submit(std::io::stdin(), Op::fsync())
            .unwrap()
            .wait()
            .unwrap();
    });
}

/// A queue that may be lent to wakers; it is never closed.
fn lent(depth: u32, fake: &Fake) -> &'static Queue {
    Box::leak(Box::new(
        common::driven_by_test(depth, fake.clone()).unwrap(),
    ))
}

/// Lets a lane submit so many operations.
fn submit(lane: &mut TrackedReads, operations: usize, drops: &Arc<AtomicUsize>) {
    let operations = (0..operations).map(|_| tracked_op(drops));
    common::submit(lane, &std::io::stdin(), operations);
}

#[test]
fn a_waker_may_drop_lanes_and_its_own() {
    within(20, || {
        // Which operation is completed, of one lane, the other one, and both.
        for order in [
            &[0, 0, 0, 0][..],
            &[2, 2, 0, 0],
            &[0, 1, 0, 0],
            &[3, 0, 0, 0],
        ] {
            let fake = Fake::new();
            let queue = lent(8, &fake);
            let drops = Arc::new(AtomicUsize::new(0));
            let lanes: Arc<Mutex<Vec<TrackedReads>>> = Arc::default();
            let waker = {
                let lanes = Arc::clone(&lanes);
                let on_wake = move || {
                    let lanes = std::mem::take(&mut *lanes.lock().unwrap());
                    assert_eq!(lanes.len(), 2);
                    drop(lanes);
                };
                Does::waker(on_wake, || ())
            };
            for _ in 0..2 {
                let mut lane = queue.lane(3).unwrap();
                submit(&mut lane, 2, &drops);
                let mut context = Context::from_waker(&waker);
                assert!(lane.poll_ready(&mut context).is_pending());
                lanes.lock().unwrap().push(lane);
            }
            drop(waker);
            for (n, &place) in order.iter().enumerate() {
                fake.complete(place);
                // All in one turn, or each in one of its own.
                if order[0] == 0 {
                    assert_eq!(queue.reap(1, None), Ok(1), "{n}");
                }
                fake.touch_all();
            }
            queue.reap(0, None).unwrap();
            assert_eq!((drops.load(SeqCst), queue.in_flight()), (8, 0));
            assert_eq!(room(queue), 8);
        }
    });
}

#[test]
fn a_waker_of_a_lane_may_make_and_use_another() {
    within(20, || {
        let fake = Fake::new();
        let queue = lent(8, &fake);
        let drops = Arc::new(AtomicUsize::new(0));
        let mut lane = queue.lane(2).unwrap();
        submit(&mut lane, 2, &drops);
        let ran = Arc::new(Flag::default());
        let waker = {
            let (fake, ran, drops) = (fake.clone(), Arc::clone(&ran), Arc::clone(&drops));
            let on_wake = move || {
                let mut other = queue.lane(3).unwrap();
                fake.set_prompt(true);
                submit(&mut other, 3, &drops);
                assert_eq!(other.wait_ready(None), 3);
                assert_eq!(other.wait().unwrap().1.result, Ok(16));
                drop(other);
                assert_eq!(drops.load(SeqCst), 6);
                ran.set();
            };
            Does::waker(on_wake, || ())
        };
        let mut context = Context::from_waker(&waker);
        assert!(lane.poll_ready(&mut context).is_pending());
        drop(waker);
        fake.complete(1);
        queue.reap(1, None).unwrap();
        ran.wait();
        assert_eq!(lane.wait_ready(None), 1);
        fake.complete(0);
        queue.drain().unwrap();
        drop(lane);
        assert_eq!((drops.load(SeqCst), room(queue)), (10, 8));
    });
}

#[test]
fn a_buffer_of_a_lane_may_own_another() {
    within(20, || {
        for (taken, inner_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let fake = Fake::new();
            let queue = lent(8, &fake);
            let drops = Arc::new(AtomicUsize::new(0));
            let mut inner = queue.lane(3).unwrap();
            submit(&mut inner, 2, &drops);
            let mut lane: Lane<Transfer<With<TrackedReads>>, ()> = queue.lane(2).unwrap();
            let buffer = With(Tracked::new(16, &drops), inner);
            common::submit(&mut lane, &std::io::stdin(), [(Op::read(buffer, 0), ())]);
            let lane = if taken {
                Some(lane)
            } else {
                // Its buffer, and with it the other lane, is dropped by who reaps.
                drop(lane);
                None
            };
            let place = if inner_first { 0 } else { 2 };
            fake.complete(place);
            fake.complete(1);
            queue.reap(1, None).unwrap();
            fake.touch_all();
            if let Some(mut lane) = lane {
                fake.complete_all();
                let (_, done) = lane.wait().unwrap();
                assert_eq!(done.result, Ok(16));
                drop(lane);
                drop(done);
            }
            fake.complete_all();
            queue.drain().unwrap();
            assert_eq!(drops.load(SeqCst), 5, "{taken} {inner_first}");
            assert_eq!((room(queue), queue.in_flight()), (8, 0));
        }
    });
}

#[test]
fn a_value_of_a_lane_may_hold_a_queue_and_use_it() {
    /// Reaps and submits when it is dropped.
    struct Uses(Queue, Arc<AtomicUsize>);

    impl Drop for Uses {
        fn drop(&mut self) {
            self.0.reap(0, None).unwrap();
            let mut lane = self.0.lane(1).unwrap();
            let op = Op::read(vec![0; 8], 0);
            common::submit(&mut lane, &std::io::stdin(), [(op, ())]);
            self.1.fetch_add(1, SeqCst);
        }
    }

    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let uses = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut lane = queue.lane(4).unwrap();
        let op = || {
            let value = Uses(queue.clone(), Arc::clone(&uses));
            (Op::read(vec![0; 8], 0), value)
        };
        common::submit(&mut lane, &file, (0..3).map(|_| op()));
        fake.complete(0);
        fake.complete(0);
        assert_eq!(lane.wait_ready(None), 2);
        drop(lane.try_take());
        assert_eq!(uses.load(SeqCst), 1);
        let mut batch = lane.batch();
        let (pushed, value) = op();
        assert!(batch.push(&file, pushed, value).is_ok());
        batch.clear();
        drop(batch);
        assert_eq!(uses.load(SeqCst), 2);
        // One is delivered, and one in flight.
        drop(lane);
        assert_eq!(uses.load(SeqCst), 3);
        fake.complete_all();
        queue.reap(4, None).unwrap();
        assert_eq!(uses.load(SeqCst), 4);
        fake.complete_all();
        queue.drain().unwrap();
        assert_eq!(room(&queue), 8);
    });
}

#[test]
fn whoever_gets_a_slot_of_a_dropped_lane_may_use_the_queue() {
    within(20, || {
        let fake = Fake::new();
        let queue = lent(3, &fake);
        let drops = Arc::new(AtomicUsize::new(0));
        let mut lane = queue.lane(3).unwrap();
        submit(&mut lane, 1, &drops);
        let ran = Arc::new(Flag::default());
        let mut reserve = queue.reserve();
        let waker = {
            let ran = Arc::clone(&ran);
            let on_wake = move || {
                // The lane is still freeing its slots.
                queue.reap(0, None).unwrap();
                drop(queue.lane::<Bytes, ()>(1));
                ran.set();
            };
            Does::waker(on_wake, || ())
        };
        assert!(poll_once(&mut reserve, &waker).is_pending());
        drop(waker);
        fake.complete(0);
        drop(lane);
        ran.wait();
        assert_eq!(drops.load(SeqCst), 2);
        drop(reserve.wait().unwrap());
        assert_eq!(room(queue), 3);
    });
}
