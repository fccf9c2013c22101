//! Full queues, kernels without room, and many threads that want in.

mod common;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Errno, Op, OpError, Queue, error::QueueError};
use common::{Fake, Scratch, Verdict, Woken, block_on, poll_once, within};

#[test]
fn a_full_queue_hands_the_operation_back() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(2, fake.clone()).unwrap();
    let file = std::io::stdin();
    let held: Vec<_> = (0..2)
        .map(|_| queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap())
        .collect();
    let back = queue.submit(&file, Op::read(vec![42; 9], 7)).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert_eq!(fake.submits(), 2, "the kernel wasn't asked");
    fake.complete_all();
    queue.reap(2, None).unwrap();
    // A result that nobody has taken keeps its place.
    let back = queue.submit(&file, back.op).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    drop(held);
    fake.set_prompt(true);
    let done = queue.submit(&file, back.op).unwrap().wait();
    assert_eq!((done.result, done.buffer), (Ok(9), vec![Fake::BYTE; 9]));
}

/// Two threads share a queue and keep to half of it each: whoever has taken a result has a place.
#[test]
fn who_takes_a_result_has_its_place() {
    const HALF: usize = 32;
    within(60, || {
        let scratch = Scratch::new();
        let file = scratch.file("file", &[42; 512]);
        let queue = Queue::new(2 * HALF as u32).unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        let work = || {
            let mut in_flight = VecDeque::with_capacity(HALF);
            while Instant::now() < until {
                while in_flight.len() < HALF {
                    let read = Op::read(Vec::with_capacity(512), 0);
                    in_flight.push_back(queue.submit(&file, read).unwrap());
                }
                let oldest = in_flight.pop_front().expect("it was filled");
                let (n, buffer) = oldest.wait().into_result().unwrap();
                assert_eq!((n, buffer[511]), (512, 42));
            }
        };
        thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
    });
}

#[test]
fn a_kernel_without_room_hands_the_operation_back() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(2, fake.clone()).unwrap();
    let file = std::io::stdin();
    fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
    for n in 1..=100 {
        let back = queue.submit(&file, Op::read(vec![42; 9], 7)).unwrap_err();
        assert_eq!(back.reason, QueueError::Again);
        assert_eq!(back.op.into_payload().into_buffer(), [42; 9]);
        assert_eq!((queue.in_flight(), fake.submits()), (0, n), "one call each");
    }
    fake.on_submit(|_| Verdict::Accept);
    let done = queue.submit(&file, Op::read(vec![42; 9], 7)).unwrap();
    assert_eq!(done.wait().result, Ok(9));
}

#[test]
fn a_refused_operation_says_so_at_its_handle() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(2, fake.clone()).unwrap();
    fake.on_submit(|_| Verdict::Refuse(Errno::EPERM));
    for how in 0..3 {
        let op = Op::read(vec![how; 4], 0);
        let pending = queue.submit(std::io::stdin(), op).unwrap();
        assert!(pending.is_done());
        let done = match how {
            0 => pending.wait(),
            1 => pending.try_take().unwrap(),
            _ => block_on(pending),
        };
        assert_eq!(done.result, Err(OpError::Refused(Errno::EPERM)));
        assert_eq!(done.buffer, [how; 4]);
    }
    drop(queue.submit(std::io::stdin(), Op::fsync()).unwrap());
    assert_eq!((queue.in_flight(), fake.waits()), (0, 0));
}

#[test]
fn a_kernel_without_room_is_not_stormed() {
    within(60, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(64, fake.clone()).unwrap();
        // Room for 4, and a device that takes 5 ms for each.
        let room = fake.clone();
        let in_flight = Arc::new(AtomicUsize::new(0));
        {
            let in_flight = Arc::clone(&in_flight);
            fake.on_submit(move |_| {
                if in_flight.load(SeqCst) >= 4 {
                    return Verdict::Refuse(Errno::EAGAIN);
                }
                in_flight.fetch_add(1, SeqCst);
                Verdict::Accept
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let device = {
            let (stop, in_flight) = (Arc::clone(&stop), Arc::clone(&in_flight));
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                    if !room.in_flight().is_empty() {
                        in_flight.fetch_sub(1, SeqCst);
                        room.complete(0);
                    }
                }
            })
        };
        let start = Instant::now();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || {
                    for _ in 0..10 {
                        let mut op = Op::read(vec![0; 8], 0);
                        let pending = loop {
                            match queue.submit(std::io::stdin(), op) {
                                Ok(pending) => break pending,
                                Err(back) => {
                                    assert_eq!(back.reason, QueueError::Again);
                                    op = back.op;
                                    // Somebody else may have reaped what there was.
                                    queue.reap(1, Some(Duration::from_millis(20))).unwrap();
                                }
                            }
                        };
                        assert_eq!(pending.wait().result, Ok(8));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let wall = start.elapsed();
        stop.store(true, SeqCst);
        device.join().unwrap();
        eprintln!("80 operations in {wall:?}, {} calls", fake.submits());
        assert!(fake.submits() < 80 * 20, "{} calls", fake.submits());
    });
}

#[test]
fn places_are_given_in_the_order_in_which_they_were_asked_for() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(1, fake).unwrap();
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
    // The place is the first one's: nobody else gets it.
    let back = queue.submit(&file, Op::fsync()).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert!(poll_once(&mut line[1], &waker).is_pending());
    let permit = block_on(line.remove(0)).unwrap();
    // A permit that isn't used passes the place on; a reservation that has got one does, too.
    drop(permit);
    assert_eq!(woken.count(), 2);
    drop(line);
    queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
}

#[test]
fn a_reservation_ends_with_its_time_or_with_the_queue() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
        let held = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
        let start = Instant::now();
        let outcome = queue.reserve().wait_timeout(Duration::from_millis(40));
        assert_eq!(outcome.unwrap_err(), QueueError::QueueFull);
        assert!(start.elapsed() >= Duration::from_millis(40));
        fake.complete(0);
        queue.reap(1, None).unwrap();
        // Nothing is in flight now, and the only place holds a result.
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
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
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
fn a_place_that_is_given_is_noticed_while_something_slow_is_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
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
