//! What a queue says of what it has done.

mod common;

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use aio_safe::{
    Errno, Op, Queue,
    queue::{Driver, Stats},
};
use common::{Fake, Verdict};

#[test]
fn each_count_counts_what_it_is_for() {
    let fake = Fake::new();
    let builder = Queue::builder(4).driver(Driver::Caller);
    let queue = builder.count_system_calls().build_on(fake.clone()).unwrap();
    let file = std::io::stdin();
    let read = || queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
    let counts = |stats: Stats| {
        [
            stats.submitted,
            stats.completed,
            stats.from_ring,
            stats.refused,
            stats.abandoned,
            stats.strays,
        ]
    };
    assert_eq!(counts(queue.stats()), [0; 6]);
    let (kept, dropped) = (read(), read());
    drop(dropped);
    assert_eq!(counts(queue.stats()), [2, 0, 0, 0, 0, 0]);
    fake.complete_all();
    assert_eq!(queue.reap(2, None), Ok(2));
    assert_eq!(counts(queue.stats()), [2, 2, 0, 0, 1, 0]);
    kept.wait().into_result().unwrap();

    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    read().wait().into_result().unwrap_err();
    assert_eq!(counts(queue.stats()), [2, 2, 0, 1, 1, 0]);

    let mut lane = queue.lane(2).unwrap();
    fake.on_submit(|_| Verdict::Accept);
    let ops = [
        (Op::read(vec![0_u8; 8], 0), ()),
        (Op::read(vec![0; 8], 0), ()),
    ];
    common::submit(&mut lane, &file, ops);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(counts(queue.stats()), [4, 3, 0, 1, 1, 0]);
    drop(lane);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(counts(queue.stats()), [4, 4, 0, 1, 2, 0]);

    let calls = queue.stats().system_calls.unwrap();
    assert_eq!((calls.io_submit, calls.io_cancel), (fake.submits(), 0));
    assert_eq!(calls.io_getevents, fake.waits());
}

#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "the thread waits before the event is in the ring"
)]
fn completions_from_the_ring_are_told_apart() {
    let queue = Queue::new(2).unwrap();
    let zeros = File::open("/dev/zero").unwrap();
    for _ in 0..10 {
        let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
        read.wait().into_result().unwrap();
    }
    let stats = queue.stats();
    let from_ring = if queue.reads_ring() { 10 } else { 0 };
    assert_eq!((stats.completed, stats.from_ring), (10, from_ring));
    assert_eq!(stats.system_calls, None, "they aren't counted");
}

#[test]
fn cancelling_is_counted() {
    let queue = Queue::builder(1).count_system_calls().build().unwrap();
    let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let poll = Op::poll(aio_safe::op::PollEvents::IN);
    drop(queue.submit(&reader, poll).unwrap());
    queue.drain().unwrap();
    let calls = queue.stats().system_calls.unwrap();
    assert_eq!((calls.io_submit, calls.io_cancel), (1, 1));
    assert_eq!(queue.stats().abandoned, 1);
}

/// Each look at the counts comes while others submit and reap.
#[test]
fn no_count_goes_backwards() {
    let queue = Queue::builder(64).driver(Driver::Caller).build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reads = thread::spawn({
        let (queue, over) = (queue.clone(), Arc::clone(&over));
        move || {
            let zeros = File::open("/dev/zero").unwrap();
            while !over.load(SeqCst) {
                let read = |_| queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                let reads: Vec<_> = (0..64).map(read).collect();
                reads.into_iter().for_each(|read| drop(read.wait()));
            }
        }
    });
    let mut before = queue.stats();
    let mut wrong = None;
    for _ in 0..200_000 {
        let now = queue.stats();
        let forward = now.submitted >= before.submitted && now.completed >= before.completed;
        if !forward || now.submitted < now.completed {
            wrong = Some((before, now));
            break;
        }
        before = now;
    }
    over.store(true, SeqCst);
    reads.join().unwrap();
    assert_eq!(wrong, None);
}
