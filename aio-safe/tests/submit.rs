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
use common::{Fake, Scratch, Verdict, block_on, within};

#[test]
fn a_full_queue_hands_the_operation_back() {
    let fake = Fake::new();
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let file = std::io::stdin();
    let held: Vec<_> = (0..2)
        .map(|_| queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap())
        .collect();
    let back = queue.submit(&file, Op::read(vec![42; 9], 7)).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert_eq!(fake.submits(), 2, "the kernel wasn't asked");
    fake.complete_all();
    queue.reap(2, None).unwrap();
    // A result that nobody has taken keeps its slot.
    let back = queue.submit(&file, back.op).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    drop(held);
    fake.set_prompt(true);
    let done = queue.submit(&file, back.op).unwrap().wait();
    assert_eq!((done.result, done.buffer), (Ok(9), vec![Fake::BYTE; 9]));
}

/// Two threads use half of a queue each. A thread that took a result finds a free slot.
#[test]
fn who_takes_a_result_has_its_slot() {
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
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
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
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
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
        let queue = common::driven_by_test(64, fake.clone()).unwrap();
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
