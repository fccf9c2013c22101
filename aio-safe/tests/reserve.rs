//! Waiting for a slot of a full queue, in threads and in tasks.

mod common;

use std::{
    os::unix::net::UnixStream,
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Errno, Op, Queue,
    error::QueueError,
    op::PollEvents,
    queue::{Driver, Reserve},
};
use common::{
    Fake, WithRing, WithoutRing, Woken, block_on, caught, panicking_waker, poll_once, read, room,
    text, within,
};

fn is_ready(reserve: &mut Reserve<'_>) -> bool {
    match poll_once(reserve, Waker::noop()) {
        Poll::Ready(permit) => {
            drop(permit.unwrap());
            true
        }
        Poll::Pending => false,
    }
}

#[test]
fn slots_are_given_in_the_order_in_which_they_were_asked_for() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(1, fake).unwrap();
    let file = std::io::stdin();
    let first = queue.submit(&file, Op::fsync()).unwrap();
    let (woken, waker) = Woken::new();
    let mut line: Vec<_> = (0..3).map(|_| queue.reserve()).collect();
    for reserve in &mut line {
        assert!(poll_once(reserve, &waker).is_pending());
    }
    // One in the middle goes away.
    drop(line.remove(1));
    first.wait().unwrap();
    assert_eq!(woken.count(), 1);
    // The slot belongs to the first waiter, and no other gets it.
    let back = queue.submit(&file, Op::fsync()).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert!(poll_once(&mut line[1], &waker).is_pending());
    let permit = block_on(line.remove(0)).unwrap();
    // A permit that isn't used passes the slot on. So does a reservation that was given one.
    drop(permit);
    assert_eq!(woken.count(), 2);
    drop(line);
    queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
}

#[test]
fn a_reservation_ends_with_its_time_or_with_the_queue() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        let held = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
        let start = Instant::now();
        let outcome = queue.reserve().wait_timeout(Duration::from_millis(40));
        assert_eq!(outcome.unwrap_err(), QueueError::QueueFull);
        assert!(start.elapsed() >= Duration::from_millis(40));
        fake.complete(0);
        queue.reap(1, None).unwrap();
        // Nothing is in flight now, and the only slot holds a result.
        let outcome = queue.reserve().wait_timeout(Duration::from_millis(40));
        assert_eq!(outcome.unwrap_err(), QueueError::QueueFull);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || queue.reserve().wait().map(drop))
            })
            .collect();
        thread::sleep(Duration::from_millis(30));
        queue.clone().close().unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(QueueError::Closed));
        }
        held.wait().unwrap();
        let outcome = queue.reserve().wait().and_then(|permit| {
            permit
                .submit(std::io::stdin(), Op::fsync())
                .map(drop)
                .map_err(|back| back.reason)
        });
        assert_eq!(outcome, Err(QueueError::Closed));
    });
}

#[test]
fn whoever_waits_for_room_reaps_for_those_who_came_in() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        // Full of a result that nobody has taken, and nothing in flight.
        let first = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
        fake.complete(0);
        queue.reap(1, None).unwrap();
        let mut future = queue.reserve();
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut future, &waker).is_pending());
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || queue.reserve().wait().map(drop))
        };
        thread::sleep(Duration::from_millis(30));
        first.wait().unwrap();
        assert_eq!(woken.count(), 1);
        // A task that counts on somebody else to reap.
        let permit = block_on(future).unwrap();
        let second = permit.submit(std::io::stdin(), Op::fsync()).unwrap();
        fake.until_blocked(1);
        fake.complete(0);
        block_on(second).unwrap();
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn a_slot_that_is_given_is_noticed_while_something_slow_is_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let slow = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
        let quick = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
        fake.complete(1);
        queue.reap(1, None).unwrap();
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || queue.reserve().wait().map(drop))
        };
        fake.until_blocked(1);
        quick.wait().unwrap();
        waiter.join().unwrap().unwrap();
        fake.complete(0);
        slow.wait().unwrap();
    });
}

#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "reads of /dev/zero are over later")]
fn a_future_is_ready_when_an_abandoned_operation_is_over_and_nobody_has_looked() {
    within(20, || {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        // A driver's thread could still be freeing the slot when `drain` returns.
        for queue in [
            Queue::builder(1).driver(Driver::Caller).build().unwrap(),
            common::driven_by_test(1, WithoutRing::default()).unwrap(),
        ] {
            for _ in 0..3 {
                drop(queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap());
                let permit = block_on(queue.reserve()).unwrap();
                drop(permit.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap());
                queue.drain().unwrap();
            }
        }
    });
}

#[test]
fn a_future_finds_an_abandoned_operation_behind_many_that_are_over() {
    const HELD: usize = 200;
    let ringless = Fake::prompt();
    let queue = common::driven_by_test(HELD as u32 + 1, ringless).unwrap();
    let held: Vec<_> = (0..HELD).map(|_| read(&queue)).collect();
    drop(read(&queue));
    assert!(is_ready(&mut queue.reserve()));
    drop(held);
}

#[test]
fn a_future_that_was_pending_is_ready_when_it_is_polled_after_the_operation() {
    for has_ring in [false, true] {
        let fake = Fake::new();
        let ringed = WithRing::new(fake.clone());
        let queue = if has_ring {
            common::driven_by_test(1, ringed.clone())
        } else {
            common::driven_by_test(1, fake.clone())
        }
        .unwrap();
        drop(read(&queue));
        let mut reserve = queue.reserve();
        let (woken, waker) = Woken::new();
        assert!(poll_once(&mut reserve, &waker).is_pending());
        assert!(poll_once(&mut reserve, &waker).is_pending());
        if has_ring {
            ringed.post(fake.carry_out(0, None));
        } else {
            fake.complete(0);
        }
        assert_eq!(woken.count(), 0, "nobody has looked");
        assert!(is_ready(&mut reserve));
    }
}

#[test]
fn a_future_that_runs_a_panicking_waker_is_still_in_line() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let mut panics = read(&queue);
    assert!(poll_once(&mut panics, &panicking_waker()).is_pending());
    drop(read(&queue));
    let mut reserve = queue.reserve();
    fake.complete_all();
    let panic = caught(|| poll_once(&mut reserve, Waker::noop()));
    assert_eq!(text(&*panic), "a waker panics");
    assert!(is_ready(&mut reserve));
}

#[test]
fn whoever_leads_and_waits_for_room_waits_in_one_call_and_notices_its_slot_at_once() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let quick = read(&queue);
        fake.complete(0);
        queue.reap(1, None).unwrap();
        let slow = read(&queue);
        let before = fake.waits();
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.reserve().wait().map(drop).unwrap();
                Instant::now()
            })
        };
        fake.until_blocked(1);
        // Time in which it would look up by itself, if it did so often.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(fake.waits() - before, 1, "it sleeps in the kernel");
        let given = Instant::now();
        drop(quick.wait());
        let took = waiter.join().unwrap() - given;
        assert!(took < Duration::from_millis(300), "it took {took:?}");
        assert_eq!(fake.waits() - before, 1, "it has got what it waited for");
        fake.complete(0);
        assert_eq!(slow.wait().result, Ok(8));
        assert_eq!(queue.stats().strays, 0, "the kick is no stray");
    });
}

#[test]
fn on_linux_whoever_leads_and_waits_for_room_notices_its_slot_at_once() {
    within(60, || {
        for queue in [
            Queue::new(2).unwrap(),
            common::driven_by_test(2, WithoutRing::default()).unwrap(),
        ] {
            let (reader, _writer) = UnixStream::pair().unwrap();
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            let never = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            let mut times: Vec<_> = (0..15)
                .map(|_| {
                    let done = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                    queue.reap(1, None).unwrap();
                    let waiter = {
                        let queue = queue.clone();
                        thread::spawn(move || {
                            queue.reserve().wait().map(drop).unwrap();
                            Instant::now()
                        })
                    };
                    thread::sleep(Duration::from_millis(30));
                    let given = Instant::now();
                    drop(done);
                    waiter.join().unwrap() - given
                })
                .collect();
            times.sort();
            eprintln!("median {:?}, longest {:?}", times[7], times[14]);
            // It looks up by itself once in a second.
            assert!(times[7] < Duration::from_millis(100), "{times:?}");
            drop(never);
        }
    });
}

#[test]
fn a_forgotten_future_costs_one_slot_and_others_in_line_are_served() {
    within(20, || {
        let fake = Fake::prompt();
        let queue = common::driven_by_test(3, fake).unwrap();
        let held = [0; 3].map(|_| read(&queue));
        queue.reap(3, None).unwrap();
        let (forgotten, forgotten_waker) = Woken::new();
        let mut first = queue.reserve();
        assert!(poll_once(&mut first, &forgotten_waker).is_pending());
        std::mem::forget(first);
        let mut second = queue.reserve();
        assert!(!is_ready(&mut second));
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || queue.reserve().wait().map(drop))
        };
        thread::sleep(Duration::from_millis(30));
        let [one, two, three] = held;
        drop(one);
        assert_eq!(forgotten.count(), 1, "the slot is the forgotten one's");
        assert!(!is_ready(&mut second));
        drop(two);
        assert!(is_ready(&mut second));
        // Given back, it is the next one's.
        waiter.join().unwrap().unwrap();
        drop(three);
        assert_eq!(room(&queue), 2, "one is kept for ever");
        for _ in 0..3 {
            drop([
                queue.reserve().wait().unwrap(),
                queue.reserve().wait().unwrap(),
            ]);
        }
        drop(second);
        queue.close().unwrap();
    });
}

#[test]
fn a_forgotten_future_that_was_never_given_a_slot_costs_none_when_the_queue_ends() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let watch = fake.watch();
    let held = read(&queue);
    queue.reap(1, None).unwrap();
    let mut reserve = queue.reserve();
    assert!(!is_ready(&mut reserve));
    std::mem::forget(reserve);
    queue.close().unwrap();
    drop(held);
    drop(fake);
    assert_eq!(watch.strong_count(), 0, "nothing is left of the queue");
}

#[test]
fn those_in_line_are_told_when_the_context_breaks_whoever_notices() {
    /// What the thread does that notices.
    type Notice = fn(&Queue);

    let wait: Notice = |queue| {
        queue.reserve().wait().map(drop).unwrap_err();
    };
    // What they answer depends on whether the context can be destroyed.
    let drain: Notice = |queue| _ = queue.drain();
    let close: Notice = |queue| _ = queue.clone().close();
    let reap: Notice = |queue| {
        // It leaves it to others: a thread that waits for a slot, say.
        assert!(queue.reap(1, None).is_err());
    };
    within(60, move || {
        for (name, notice) in [
            ("wait", wait),
            ("drain", drain),
            ("close", close),
            ("reap", reap),
        ] {
            for destroys in [false, true] {
                let fake = Fake::new();
                let queue = common::driven_by_test(2, fake.clone()).unwrap();
                let held = [read(&queue), read(&queue)];
                let (woken, waker) = Woken::new();
                let mut future = queue.reserve();
                assert!(poll_once(&mut future, &waker).is_pending());
                let noticing = {
                    let queue = queue.clone();
                    thread::spawn(move || notice(&queue))
                };
                fake.until_blocked(1);
                let waiter = {
                    let queue = queue.clone();
                    thread::spawn(move || queue.reserve().wait().map(drop))
                };
                thread::sleep(Duration::from_millis(30));
                if !destroys {
                    fake.keep(Errno::EINVAL);
                }
                fake.break_down(Errno::EINVAL);
                noticing.join().unwrap();
                assert_eq!(waiter.join().unwrap(), Err(QueueError::Closed), "{name}");
                assert_eq!(woken.count(), 1, "{name}, destroyed: {destroys}");
                let told = poll_once(&mut future, &waker).map(|outcome| outcome.map(drop));
                assert_eq!(told, Poll::Ready(Err(QueueError::Closed)), "{name}");
                for read in held {
                    if destroys {
                        assert!(read.wait().result.is_err(), "{name}");
                    } else {
                        caught(|| read.wait());
                    }
                }
            }
        }
    });
}
