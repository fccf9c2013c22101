//! Lanes: each operation comes back once, with its value, and places come back when they should.

mod common;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Lane, Op, OpError, Queue,
    error::QueueError,
    lane::LaneBatch,
    op::{ReadWrite, Transfer},
};
use common::{Fake, Scratch, Tracked, Verdict, pattern, within};

type Bytes = Transfer<Vec<u8>>;

fn push<'a>(batch: &mut LaneBatch<'a, Bytes, u64>, file: &'a std::io::Stdin, n: u64) {
    batch.push(file, Op::read(vec![0; 8], n), n).unwrap();
}

/// Submits reads of these numbers in one batch.
fn submit(lane: &mut Lane<Bytes, u64>, file: &std::io::Stdin, numbers: std::ops::Range<u64>) {
    let ops = numbers.map(|n| (Op::read(vec![0; 8], n), n));
    common::submit(lane, file, ops);
}

/// Takes everything that is there or comes, and fails when it doesn't come.
fn take_all<P: ReadWrite, T: Send + 'static>(lane: &mut Lane<P, T>) -> Vec<(T, P::Output)> {
    iter::from_fn(|| {
        let in_flight = lane.in_flight();
        let came = lane.wait_ready(Some(Duration::from_secs(20)));
        assert!(came > 0 || in_flight == 0, "{in_flight} never came");
        lane.try_take()
    })
    .collect()
}

/// The results by their values, which are different.
fn results(lane: &mut Lane<Bytes, u64>) -> BTreeMap<u64, Result<usize, OpError>> {
    let mut results = BTreeMap::new();
    for (n, done) in take_all(lane) {
        assert_eq!(results.insert(n, done.result), None, "{n} came twice");
    }
    results
}

#[test]
fn results_come_with_their_values_and_buffers() {
    let scratch = Scratch::new();
    let bytes = pattern(1000 * 64);
    let file = scratch.file("file", &bytes);
    let queue = Queue::new(16).unwrap();
    // Neither a power of two nor all of the queue's.
    let mut lane = queue.lane(13).unwrap();
    let mut blocks = 0..1000_usize;
    let mut seen = [false; 1000];
    loop {
        let mut batch = lane.batch();
        while batch.room() > 0 {
            let Some(n) = blocks.next() else { break };
            let op = Op::read(Vec::with_capacity(64), n as u64 * 64);
            batch.push(&file, op, (n, format!("block {n}"))).unwrap();
        }
        batch.submit().unwrap();
        drop(batch);
        if lane.wait_ready(None) == 0 {
            break;
        }
        while let Some(((n, name), done)) = lane.try_take() {
            assert_eq!(name, format!("block {n}"));
            assert_eq!(done.result, Ok(64));
            assert_eq!(
                done.buffer,
                bytes[n * 64..][..64],
                "as long as what was read"
            );
            assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
        }
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[test]
fn writes_and_reads_share_a_lane_and_vectored_ones_another() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &[b'.'; 16]);
    let queue = Queue::new(8).unwrap();
    let mut lane = queue.lane(2).unwrap();
    let write = Op::write(b"0123".to_vec(), 4);
    common::submit(&mut lane, &file, [(write, "write")]);
    assert_eq!(lane.wait().unwrap().1.result, Ok(4));
    common::submit(&mut lane, &file, [(Op::read(vec![0; 8], 2), "read")]);
    let (value, done) = lane.wait().unwrap();
    assert_eq!((value, done.buffer), ("read", b"..0123..".to_vec()));

    let mut vectored = queue.lane(2).unwrap();
    let read = Op::read_vectored(vec![vec![0; 6], vec![0; 2]], 0);
    let write = Op::write_vectored(vec![b"ab".to_vec(), b"cd".to_vec()], 12);
    common::submit(&mut vectored, &file, [(read, 1), (write, 2)]);
    for (value, done) in take_all(&mut vectored) {
        if value == 1 {
            assert_eq!(done.buffer, [b"....01".to_vec(), b"23".to_vec()]);
        }
        assert_eq!(done.result, Ok(if value == 1 { 8 } else { 4 }));
    }
    assert_eq!(
        std::fs::read(scratch.path("file")).unwrap(),
        b"....0123....abcd"
    );
}

#[test]
fn one_call_of_the_kernel_is_enough() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(200, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(200).unwrap();
    lane.batch().submit().unwrap();
    assert_eq!(fake.submits(), 0, "nothing to submit");
    let mut batch = lane.batch();
    (0..200).for_each(|n| push(&mut batch, &file, n));
    batch.submit().unwrap();
    batch.submit().unwrap();
    drop(batch);
    assert_eq!(fake.submits(), 1);
    // More than one turn's worth.
    let expected: BTreeMap<_, _> = (0..200).map(|n| (n, Ok(8))).collect();
    assert_eq!(results(&mut lane), expected);
}

#[test]
fn the_kernel_hears_of_them_in_the_order_in_which_they_were_pushed() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(5).unwrap();
    let offsets = || -> Vec<_> { fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect() };
    submit(&mut lane, &file, 0..3);
    submit(&mut lane, &file, 3..5);
    assert_eq!(offsets(), [0, 1, 2, 3, 4]);
    for place in [3, 1, 1] {
        fake.complete(place);
    }
    assert_eq!(queue.reap(3, None), Ok(3));
    let taken: Vec<_> = iter::from_fn(|| lane.try_take()).map(|(n, _)| n).collect();
    assert_eq!(taken, [3, 1, 2]);
    submit(&mut lane, &file, 10..13);
    assert_eq!(offsets(), [0, 4, 10, 11, 12]);
    fake.complete_all();
    assert_eq!(results(&mut lane).len(), 5);
}

#[test]
fn what_the_kernel_leaves_is_submitted_again() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(16, fake.clone()).unwrap();
    fake.on_submit(|iocb| match iocb.aio_offset % 3 {
        0 => Verdict::Pause,
        _ => Verdict::Accept,
    });
    let file = std::io::stdin();
    // Whether or not the lane is full.
    for places in [10, 12] {
        let before = fake.submits();
        let mut lane = queue.lane(places).unwrap();
        submit(&mut lane, &file, 0..10);
        assert_eq!(fake.submits() - before, 4);
        assert_eq!(lane.room(), places as usize - 10);
        assert_eq!(results(&mut lane).len(), 10);
        assert_eq!(lane.room(), places as usize);
    }
}

fn assert_full<'a>(batch: &mut LaneBatch<'a, Bytes, u64>, file: &'a std::io::Stdin) {
    assert_eq!(batch.room(), 0);
    let back = batch.push(file, Op::read(vec![77; 5], 0), 42).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    let (op, value) = back.op;
    assert_eq!((op.into_payload().into_buffer(), value), (vec![77; 5], 42));
}

#[test]
fn a_full_lane_hands_operation_and_value_back() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(3).unwrap();
    let mut batch = lane.batch();
    (0..3).for_each(|n| push(&mut batch, &file, n));
    assert_full(&mut batch, &file);
    batch.submit().unwrap();
    assert_full(&mut batch, &file);
    fake.complete(1);
    assert_eq!(queue.reap(1, None), Ok(1));
    assert_full(&mut batch, &file);
    assert_eq!(batch.try_take().unwrap().0, 1);
    assert_eq!((batch.room(), batch.len()), (1, 0));
    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    push(&mut batch, &file, 3);
    assert_full(&mut batch, &file);
    batch.submit().unwrap();
    // Refused, and not yet taken.
    assert_full(&mut batch, &file);
    drop(batch);
    assert_eq!(lane.room(), 0);
    assert_eq!(lane.try_take().unwrap().0, 3);
    assert_eq!(lane.room(), 1);
    fake.complete_all();
}

#[test]
fn a_lane_without_places_takes_nothing() {
    let queue = Queue::with_kernel(1, Fake::new()).unwrap();
    let mut lane = queue.lane::<Bytes, _>(0).unwrap();
    let file = std::io::stdin();
    let mut batch = lane.batch();
    let back = batch.push(&file, Op::read(vec![0; 8], 0), ()).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    assert_eq!(batch.submit(), Ok(()));
    assert!(batch.pop().is_none());
    drop(batch);
    assert_eq!((lane.wait_ready(None), lane.room()), (0, 0));
    assert!(lane.wait().is_none());
    drop(lane);
    assert_eq!(common::room(&queue), 1);
}

#[test]
fn pop_hands_back_what_was_pushed_last() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(8, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(6).unwrap();
    submit(&mut lane, &file, 0..2);
    let mut batch = lane.batch();
    for n in 2..6_u64 {
        let op = Op::read(vec![n as u8; 3], 100 + n);
        batch.push(&file, op, n).unwrap();
    }
    let mut ops = Vec::new();
    for n in (4..6).rev() {
        let (op, value) = batch.pop().unwrap();
        assert_eq!(value, n);
        ops.push((op, value));
    }
    assert_eq!((batch.room(), batch.len()), (2, 2));
    // They are what they were.
    for (op, value) in ops {
        batch.push(&file, op, value).unwrap();
    }
    for n in [4, 5, 3, 2] {
        let (op, value) = batch.pop().unwrap();
        let buffer = op.into_payload().into_buffer();
        assert_eq!((value, buffer), (n, vec![n as u8; 3]));
    }
    assert!(batch.pop().is_none(), "what is in flight isn't handed back");
    (6..8).for_each(|n| push(&mut batch, &file, n));
    let (op, value) = batch.pop().unwrap();
    batch.push(&file, op, value).unwrap();
    batch.submit().unwrap();
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [0, 1, 6, 7]);
    assert!(batch.pop().is_none() && batch.is_empty());
    drop(batch);
    fake.complete_all();
    let expected: BTreeMap<_, _> = [0, 1, 6, 7].map(|n| (n, Ok(8))).into();
    assert_eq!(results(&mut lane), expected);
}

#[test]
fn a_batch_that_is_dropped_drops_what_was_not_submitted() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(4, fake.clone()).unwrap();
    let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let dropped = || (buffers.load(SeqCst), values.load(SeqCst));
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    for round in 0..3 {
        let mut batch = lane.batch();
        for n in 0..4 {
            let op = Op::read(Tracked::new(16, &buffers), n);
            batch.push(&file, op, Tracked::new(0, &values)).unwrap();
            if n == 1 {
                batch.submit().unwrap();
            }
        }
        drop(batch);
        assert_eq!(dropped(), (round * 4 + 2, round * 4 + 2));
        assert_eq!((lane.room(), lane.in_flight()), (2, 2));
        assert_eq!(fake.in_flight().len(), 2);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 2);
        assert_eq!(dropped(), (round * 4 + 4, round * 4 + 4));
    }
    drop(lane);
    assert_eq!((dropped(), common::room(&queue)), ((12, 12), 4));
}

#[test]
fn a_batch_that_is_forgotten_is_never_submitted_and_its_places_are_used_again() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(4, fake.clone()).unwrap();
    let scratch = Scratch::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let op = |n| {
        (
            Op::read(Tracked::new(16, &drops), n),
            Tracked::new(0, &drops),
        )
    };
    let mut lane = queue.lane(4).unwrap();
    for left in 1..=4_u64 {
        let file = scratch.file("closed", &[0; 8]);
        let mut batch = lane.batch();
        for n in 0..left {
            let (op, value) = op(1000 + n);
            batch.push(&file, op, value).unwrap();
        }
        std::mem::forget(batch);
        // Nothing may be sent for it any more.
        drop(file);
        assert_eq!((lane.room(), lane.in_flight(), lane.results()), (4, 0, 0));
        assert!(lane.batch().is_empty() && lane.batch().pop().is_none());
        lane.batch().submit().unwrap();
        assert!(fake.in_flight().is_empty());
        common::submit(&mut lane, &std::io::stdin(), (0..3).map(op));
        let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
        assert_eq!(offsets, [0, 1, 2]);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 3);
        assert_eq!(
            drops.load(SeqCst),
            left as usize * 6,
            "the others are leaked"
        );
    }
    // And the lane that has such places is dropped like any other.
    let file = std::io::stdin();
    let mut batch = lane.batch();
    let (op, value) = op(5);
    batch.push(&file, op, value).unwrap();
    std::mem::forget(batch);
    drop(lane);
    assert_eq!((drops.load(SeqCst), common::room(&queue)), (24, 4));
    assert_eq!(fake.submits(), 4);
}

#[test]
fn files_are_opened_and_closed_between_the_batches_of_a_lane() {
    let scratch = Scratch::new();
    let queue = Queue::new(4).unwrap();
    let mut lane = queue.lane(2).unwrap();
    for n in 0..50_u8 {
        let file = scratch.file("file", &[n; 16]);
        let mut batch = lane.batch();
        for _ in 0..2 {
            batch.push(&file, Op::read(vec![0; 16], 0), n).unwrap();
        }
        batch.submit().unwrap();
        drop(batch);
        // The kernel has them for as long as it needs them.
        drop(file);
        for (value, done) in take_all(&mut lane) {
            assert_eq!((value, done.result, done.buffer), (n, Ok(16), vec![n; 16]));
        }
    }
}

#[test]
fn a_refused_operation_is_not_kept_waiting_by_others() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(8, fake.clone()).unwrap();
    fake.on_submit(|iocb| match iocb.aio_offset {
        1 => Verdict::Refuse(Errno::EBADF),
        _ => Verdict::Accept,
    });
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    submit(&mut lane, &file, 0..4);
    let mut seen = None;
    for n in 4..1004 {
        let mut batch = lane.batch();
        let (taken, done) = batch.try_take().unwrap();
        if taken == 1 {
            assert_eq!(done.result, Err(OpError::Refused(Errno::EBADF)));
            assert_eq!(seen, None);
            seen = Some(n);
        }
        push(&mut batch, &file, n);
        batch.submit().unwrap();
        drop(batch);
        assert!(lane.wait_ready(None) > 0);
    }
    assert!(seen.is_some_and(|n| n < 20), "taken when {seen:?} came");
}

#[test]
fn places_are_the_lanes_until_it_is_dropped() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(100, fake.clone()).unwrap();
    let file = std::io::stdin();
    for places in [101, u32::MAX] {
        let failed = queue.lane::<Bytes, u64>(places);
        assert_eq!(failed.map(drop), Err(QueueError::QueueFull));
        assert_eq!(common::room(&queue), 100, "none was kept");
    }
    let mut lane = queue.lane(90).unwrap();
    assert_eq!((lane.room(), common::room(&queue)), (90, 10));
    let failed = queue.lane::<Bytes, u64>(11);
    assert_eq!(failed.map(drop), Err(QueueError::QueueFull));
    assert_eq!(common::room(&queue), 10);
    let other = queue.lane::<Bytes, u64>(10).unwrap();
    assert_eq!(common::room(&queue), 0);
    drop(other);
    for round in 0..3 {
        submit(&mut lane, &file, 0..90);
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 90);
        assert_eq!(
            common::room(&queue),
            10,
            "results were taken, round {round}"
        );
    }
    drop(lane);
    assert_eq!(common::room(&queue), 100);
    drop(queue.lane::<Bytes, u64>(100).unwrap());
}

#[test]
fn a_lane_deeper_than_its_queue_takes_no_place_from_others() {
    within(60, || {
        let queue = Queue::with_kernel(100, Fake::prompt()).unwrap();
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(SeqCst) == 0 {
                    let failed = queue.lane::<Bytes, u64>(101).map(drop);
                    assert_eq!(failed, Err(QueueError::QueueFull));
                }
            });
            for _ in 0..20_000 {
                match queue.submit(std::io::stdin(), Op::read(vec![0; 8], 0)) {
                    Ok(read) => drop(read.wait()),
                    Err(_) => {
                        done.store(2, SeqCst);
                        break;
                    }
                }
            }
            done.fetch_max(1, SeqCst);
        });
        assert_eq!(done.into_inner(), 1, "the queue was full");
    });
}

#[test]
fn places_in_flight_come_back_when_they_are_over() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(10, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(8).unwrap();
    submit(&mut lane, &file, 0..5);
    fake.complete(0);
    queue.reap(1, None).unwrap();
    // One is delivered, one is completed and not reaped, one is in a batch that is forgotten.
    fake.complete(0);
    let mut batch = lane.batch();
    push(&mut batch, &file, 5);
    std::mem::forget(batch);
    assert_eq!(common::room(&queue), 2);
    drop(lane);
    fake.touch_all();
    assert_eq!(common::room(&queue), 7, "all but what is in flight");
    fake.complete(1);
    assert_eq!(queue.reap(1, None), Ok(1));
    assert_eq!(common::room(&queue), 8);
    fake.complete_all();
    queue.drain().unwrap();
    assert_eq!(common::room(&queue), 10);
    // The places aren't the lane's any more.
    fake.set_prompt(true);
    for _ in 0..10 {
        let read = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
    }
    assert_eq!(queue.strays(), 0);
}

#[test]
fn who_waits_for_a_place_gets_one_of_a_dropped_lane() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(3, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut lane = queue.lane(3).unwrap();
        submit(&mut lane, &file, 0..1);
        let [mut one, mut two, mut three] = [0; 3].map(|_| queue.reserve());
        let waker = std::task::Waker::noop();
        for reserve in [&mut one, &mut two, &mut three] {
            assert!(common::poll_once(reserve, waker).is_pending());
        }
        drop(lane);
        let places = [&mut one, &mut two].map(|reserve| common::poll_once(reserve, waker));
        assert!(places.iter().all(std::task::Poll::is_ready));
        assert!(common::poll_once(&mut three, waker).is_pending());
        fake.complete_all();
        queue.drain().unwrap();
        assert!(common::poll_once(&mut three, waker).is_ready());
    });
}

#[test]
fn refused_operations_get_their_own_errno_and_the_others_run() {
    let bad = |offset: i64| match offset {
        0 | 3 | 4 => Some(Errno::EBADF),
        7 => Some(Errno::EINVAL),
        9 => Some(Errno::EOPNOTSUPP),
        _ => None,
    };
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(16, fake.clone()).unwrap();
    fake.on_submit(move |iocb| bad(iocb.aio_offset).map_or(Verdict::Accept, Verdict::Refuse));
    let file = std::io::stdin();
    let mut lane = queue.lane(12).unwrap();
    for round in 0..3 {
        submit(&mut lane, &file, 0..10);
        assert_eq!((queue.in_flight(), lane.in_flight()), (5, 10));
        assert_eq!(lane.results(), 5, "the refused ones");
        let expected: BTreeMap<_, _> = (0..10)
            .map(|n| {
                let result = bad(n).map_or(Ok(8), |errno| Err(OpError::Refused(errno)));
                (n as u64, result)
            })
            .collect();
        assert_eq!(results(&mut lane), expected, "round {round}");
        assert_eq!((lane.room(), lane.in_flight()), (12, 0));
    }
}

#[test]
fn refusals_of_the_real_kernel_hit_only_whom_they_are_for() {
    let scratch = Scratch::new();
    let bytes = pattern(64);
    let file = scratch.file("file", &bytes);
    let write_only = OpenOptions::new()
        .write(true)
        .open(scratch.path("file"))
        .unwrap();
    let queue = Queue::new(16).unwrap();
    let mut lane = queue.lane(9).unwrap();
    let mut batch = lane.batch();
    for n in 0..9_u64 {
        let from = if n % 4 == 1 { &write_only } else { &file };
        let offset = if n % 4 == 2 { 1 << 63 } else { n };
        batch
            .push(from, Op::read(vec![n as u8; 8], offset), n)
            .unwrap();
    }
    batch.submit().unwrap();
    drop(batch);
    let mut taken = take_all(&mut lane);
    taken.sort_by_key(|(n, _)| *n);
    assert_eq!(taken.len(), 9);
    for (n, (value, done)) in taken.into_iter().enumerate() {
        assert_eq!(value, n as u64);
        match n % 4 {
            1 => assert_eq!(done.result, Err(OpError::Refused(Errno::EBADF))),
            2 => assert_eq!(done.result, Err(OpError::Refused(Errno::EINVAL))),
            _ => {
                assert_eq!(done.result, Ok(8));
                assert_eq!(done.buffer, bytes[n..][..8]);
                continue;
            }
        }
        assert_eq!(done.buffer, [n as u8; 8], "as it was");
    }
}

#[test]
fn operations_that_fail_say_so() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(4, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut lane = queue.lane(3).unwrap();
    submit(&mut lane, &file, 0..3);
    fake.complete_with(0, -i64::from(Errno::EIO.raw()));
    fake.complete_with(0, 5);
    fake.complete_with(0, 0);
    let expected = [Err(OpError::Failed(Errno::EIO)), Ok(5), Ok(0)];
    for (n, result) in expected.into_iter().enumerate() {
        let (value, done) = lane.wait().unwrap();
        assert_eq!((value, done.result), (n as u64, result));
    }
}

#[test]
fn a_lane_that_meets_eagain_goes_on_where_it_was() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(16, fake.clone()).unwrap();
    let allowed = Arc::new(Mutex::new(4));
    {
        let allowed = Arc::clone(&allowed);
        fake.on_submit(move |iocb| {
            if iocb.aio_offset == 1 {
                return Verdict::Refuse(Errno::EBADF);
            }
            let mut allowed = allowed.lock().unwrap();
            if *allowed == 0 {
                return Verdict::Refuse(Errno::EAGAIN);
            }
            *allowed -= 1;
            Verdict::Accept
        });
    }
    let file = std::io::stdin();
    let mut lane = queue.lane(10).unwrap();
    let mut batch = lane.batch();
    (0..10).for_each(|n| push(&mut batch, &file, n));
    assert_eq!(batch.submit(), Err(QueueError::Again));
    assert_eq!((batch.len(), queue.in_flight()), (5, 4));
    assert_eq!(batch.submit(), Err(QueueError::Again));
    assert_eq!((batch.len(), batch.room()), (5, 0));
    // What isn't submitted can be had back.
    let (op, value) = batch.pop().unwrap();
    assert_eq!((value, batch.room()), (9, 1));
    batch.push(&file, op, value).unwrap();
    fake.complete_all();
    assert_eq!(queue.reap(4, None), Ok(4));
    // The one that was refused comes first.
    assert_eq!(batch.try_take().map(|(n, _)| n), Some(1));
    assert_eq!(batch.try_take().map(|(n, _)| n), Some(0));
    push(&mut batch, &file, 10);
    *allowed.lock().unwrap() = 100;
    batch.submit().unwrap();
    drop(batch);
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [5, 6, 7, 8, 9, 10]);
    fake.complete_all();
    let expected: BTreeMap<_, _> = (2..11).map(|n| (n, Ok(8))).collect();
    assert_eq!(results(&mut lane), expected);
}

#[test]
fn a_closed_queue_leaves_what_was_pushed_and_what_was_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(4, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut lane = queue.lane(4).unwrap();
        submit(&mut lane, &file, 0..2);
        let mut batch = lane.batch();
        (2..4).for_each(|n| push(&mut batch, &file, n));
        let other = queue.clone();
        thread::scope(|scope| {
            let closer = scope.spawn(move || other.close());
            fake.until_blocked(1);
            assert_eq!(batch.submit(), Err(QueueError::Closed));
            assert!(!closer.is_finished(), "two are in flight");
            fake.complete_all();
            assert_eq!(closer.join().unwrap(), Ok(()));
        });
        assert_eq!(batch.submit(), Err(QueueError::Closed));
        assert_eq!((batch.room(), batch.len()), (0, 2));
        let failed = queue.lane::<Bytes, ()>(1).map(drop);
        assert_eq!(failed, Err(QueueError::Closed));
        assert_eq!(batch.pop().unwrap().1, 3);
        drop(batch);
        assert_eq!((lane.room(), lane.in_flight()), (2, 2));
        let expected: BTreeMap<_, _> = (0..2).map(|n| (n, Ok(8))).collect();
        assert_eq!(results(&mut lane), expected);
        let mut batch = lane.batch();
        push(&mut batch, &file, 9);
        assert_eq!(batch.submit(), Err(QueueError::Closed));
        assert_eq!(batch.pop().unwrap().1, 9);
        drop(batch);
        assert_eq!(lane.wait_ready(None), 0);
        drop(lane);
    });
}

#[test]
fn a_lane_of_a_closed_queue_submits_nothing() {
    let fake = Fake::prompt();
    let queue = Queue::with_kernel(4, fake.clone()).unwrap();
    let mut lane = queue.lane(2).unwrap();
    queue.clone().close().unwrap();
    let file = std::io::stdin();
    let mut batch = lane.batch();
    push(&mut batch, &file, 0);
    assert_eq!(batch.submit(), Err(QueueError::Closed));
    drop(batch);
    drop(lane);
    assert_eq!(fake.submits(), 0);
    // Nor is another made of it.
    for places in [0, 1, 5] {
        let failed = queue.lane::<Bytes, ()>(places).map(drop);
        assert_eq!(failed, Err(QueueError::Closed));
    }
}

#[test]
fn a_thread_may_close_the_queue_with_its_own_operations_in_flight() {
    within(20, || {
        let scratch = Scratch::new();
        let bytes = pattern(4096);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(8).unwrap();
        let mut lane = queue.lane(8).unwrap();
        let op = |n: u64| (Op::read(vec![0; 512], n * 512), n as usize);
        common::submit(&mut lane, &file, (0..8).map(op));
        queue.clone().close().unwrap();
        assert!(lane.has_results());
        assert_eq!((lane.wait_ready(None), lane.results()), (8, 8));
        for (n, done) in take_all(&mut lane) {
            assert_eq!(done.buffer, bytes[n * 512..][..512]);
        }
    });
}

/// Lets go of one operation in each way there is, and counts what is dropped. `value` makes the values: small ones that
/// are stored in the slot with the buffer, or large ones that aren't.
fn dropped_once<V: Send + 'static>(value: impl Fn(&Arc<AtomicUsize>) -> V) {
    let fake = Fake::new();
    let queue = Queue::with_kernel(8, fake.clone()).unwrap();
    let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let dropped = || (buffers.load(SeqCst), values.load(SeqCst));
    let file = std::io::stdin();
    let op = || (Op::read(Tracked::new(16, &buffers), 0), value(&values));
    let mut lane = queue.lane(8).unwrap();

    let mut batch = lane.batch();
    let (pushed, pushed_value) = op();
    assert!(batch.push(&file, pushed, pushed_value).is_ok());
    let popped = batch.pop().unwrap();
    drop(batch);
    assert_eq!(dropped(), (0, 0));
    drop(popped);
    assert_eq!(dropped(), (1, 1), "popped");

    common::submit(&mut lane, &file, [op()]);
    fake.complete(0);
    let taken = lane.wait().unwrap();
    assert_eq!(taken.1.buffer.bytes[..], [Fake::BYTE; 16]);
    assert_eq!(dropped(), (1, 1));
    drop(taken);
    assert_eq!(dropped(), (2, 2), "taken");

    fake.on_submit(|_| Verdict::Refuse(Errno::EBADF));
    common::submit(&mut lane, &file, [op()]);
    assert_eq!(dropped(), (2, 2));
    drop(lane.try_take().unwrap());
    assert_eq!(dropped(), (3, 3), "refused and taken");

    // One is left refused, one delivered, one completed, one in flight, and two pushed.
    common::submit(&mut lane, &file, [op()]);
    fake.on_submit(|_| Verdict::Accept);
    common::submit(&mut lane, &file, (0..3).map(|_| op()));
    fake.complete(0);
    queue.reap(1, None).unwrap();
    fake.complete(0);
    let mut batch = lane.batch();
    for _ in 0..2 {
        let (op, value) = op();
        assert!(batch.push(&file, op, value).is_ok());
    }
    assert_eq!(dropped(), (3, 3));
    drop(batch);
    assert_eq!(dropped(), (5, 5), "pushed");
    drop(lane);
    assert_eq!(dropped(), (7, 7), "all but what the kernel may have");
    fake.touch_all();
    queue.reap(1, None).unwrap();
    assert_eq!(dropped(), (8, 8), "completed before");
    fake.touch_all();
    fake.complete(0);
    queue.drain().unwrap();
    assert_eq!(dropped(), (9, 9), "in flight");
    drop(queue);
    assert_eq!(dropped(), (9, 9));
}

#[test]
fn buffers_and_values_are_dropped_once() {
    dropped_once(|drops| Tracked::new(0, drops));
}

#[test]
fn buffers_and_values_larger_than_a_slot_are_dropped_once() {
    dropped_once(|drops| ([7_u64; 40], Tracked::new(0, drops)));
}

#[test]
fn a_queue_that_is_closed_drops_what_a_dropped_lane_had_in_flight() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(4, fake.clone()).unwrap();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut lane = queue.lane(3).unwrap();
        let op = |_| {
            (
                Op::read(Tracked::new(16, &drops), 0),
                Tracked::new(0, &drops),
            )
        };
        common::submit(&mut lane, &file, (0..3).map(op));
        drop(lane);
        let closer = thread::spawn(move || drop(queue));
        fake.until_blocked(1);
        assert_eq!(drops.load(SeqCst), 0);
        fake.complete_all();
        closer.join().unwrap();
        assert_eq!(drops.load(SeqCst), 6);
        drop(fake);
        assert_eq!(watch.strong_count(), 0, "nothing is left of the queue");
    });
}

#[test]
fn a_forgotten_lane_keeps_buffers_and_places_for_ever() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(5, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut lane = queue.lane(4).unwrap();
        let op = |_| {
            (
                Op::read(Tracked::new(16, &drops), 0),
                Tracked::new(0, &drops),
            )
        };
        common::submit(&mut lane, &std::io::stdin(), (0..3).map(op));
        fake.complete(0);
        queue.reap(1, None).unwrap();
        std::mem::forget(lane);
        assert_eq!(common::room(&queue), 1);
        fake.touch_all();
        fake.complete(0);
        assert_eq!(queue.reap(1, None), Ok(1));
        fake.touch_all();
        // Else it would stay open.
        let closer = thread::spawn(move || queue.close());
        fake.until_blocked(1);
        fake.complete(0);
        closer.join().unwrap().unwrap();
        assert!(fake.is_destroyed());
        assert_eq!(drops.load(SeqCst), 0);
    });
}

#[test]
fn a_lane_moves_between_threads() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(8, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut lane = queue.lane(4).unwrap();
        let mut next = 0;
        for _ in 0..50 {
            // Pushed, submitted, reaped and taken, each in another thread.
            let (mut batch, next, file) = (lane.batch(), &mut next, &file);
            let pushing = move || {
                while batch.room() > 0 {
                    push(&mut batch, file, *next);
                    *next += 1;
                }
                batch
            };
            let mut batch = thread::scope(|scope| scope.spawn(pushing).join().unwrap());
            let submitting = move || batch.submit().unwrap();
            thread::scope(|scope| scope.spawn(submitting).join().unwrap());
            fake.complete(2);
            fake.complete(0);
            lane = thread::scope(|scope| {
                let reaping = scope.spawn(|| {
                    assert_eq!(lane.wait_ready(None), 2);
                    lane
                });
                reaping.join().unwrap()
            });
            for _ in 0..2 {
                assert_eq!(lane.try_take().unwrap().1.buffer, [Fake::BYTE; 8]);
            }
        }
        fake.complete_all();
        assert_eq!(take_all(&mut lane).len(), 2);
    });
}

/// What is expected of an operation of the next test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    /// Its event is there.
    Completed,
    /// Its result can be taken.
    Ready,
}

#[test]
fn whatever_is_done_with_a_lane_each_operation_comes_back_once() {
    const EIO: i64 = -5;
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let fake = Fake::new();
        fake.on_submit(|iocb| match iocb.aio_offset % 11 {
            3 => Verdict::Refuse(Errno::EBADF),
            5 => Verdict::Pause,
            _ => Verdict::Accept,
        });
        let places = rng.u32(1..=9);
        let queue = Queue::with_kernel(places + 2, fake.clone()).unwrap();
        let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let file = std::io::stdin();
        let mut lane = queue.lane(places).unwrap();
        let mut next = 0;
        let mut pushed = Vec::new();
        let mut submitted = BTreeMap::new();
        let ready = |submitted: &mut BTreeMap<u64, (State, _)>| {
            for (state, _) in submitted.values_mut() {
                if *state == State::Completed {
                    *state = State::Ready;
                }
            }
        };
        let mut leaked = 0;
        for _ in 0..rng.usize(10..60) {
            let mut batch = lane.batch();
            for _ in 0..rng.usize(..15) {
                match rng.u8(..15) {
                    0..6 => {
                        let op = Op::read(Tracked::new(8, &buffers), next);
                        let outcome = batch.push(&file, op, (next, Tracked::new(0, &values)));
                        let full = pushed.len() + submitted.len() == places as usize;
                        assert_eq!(outcome.is_err(), full, "seed {seed}");
                        if !full {
                            pushed.push(next);
                        }
                        next += 1;
                    }
                    6 => {
                        let popped = batch.pop().map(|(_, (n, _))| n);
                        assert_eq!(popped, pushed.pop(), "seed {seed}");
                    }
                    7..9 => {
                        batch.submit().unwrap();
                        submitted.extend(pushed.drain(..).map(|n| match n % 11 {
                            3 => (n, (State::Ready, Err(OpError::Refused(Errno::EBADF)))),
                            _ => (n, (State::InFlight, Ok(8))),
                        }));
                    }
                    9..11 => {
                        let in_flight = fake.in_flight();
                        if !in_flight.is_empty() {
                            let place = rng.usize(..in_flight.len());
                            let n = in_flight[place].iocb.aio_offset as u64;
                            if rng.u8(..4) == 0 {
                                fake.complete_with(place, EIO);
                                submitted.insert(
                                    n,
                                    (State::Completed, Err(OpError::Failed(Errno::EIO))),
                                );
                            } else {
                                fake.complete(place);
                                submitted.insert(n, (State::Completed, Ok(8)));
                            }
                        }
                    }
                    11 => {
                        queue.reap(0, None).unwrap();
                        ready(&mut submitted);
                    }
                    _ => match batch.try_take() {
                        None => {
                            let left = submitted.values().any(|(state, _)| *state == State::Ready);
                            assert!(!left, "seed {seed}");
                        }
                        Some(((n, _value), done)) => {
                            let expected = submitted.remove(&n);
                            assert_eq!(expected, Some((State::Ready, done.result)), "seed {seed}");
                            if done.result.is_ok() {
                                assert_eq!(done.buffer.bytes[..], [Fake::BYTE; 8], "seed {seed}");
                            }
                        }
                    },
                }
                assert_eq!(batch.len(), pushed.len(), "seed {seed}");
                let room = places as usize - submitted.len() - pushed.len();
                assert_eq!(batch.room(), room, "seed {seed}");
                let alive = (pushed.len() + submitted.len()) as u64 + leaked;
                assert_eq!(buffers.load(SeqCst) as u64, next - alive, "seed {seed}");
                assert_eq!(values.load(SeqCst) as u64, next - alive, "seed {seed}");
            }
            // What wasn't submitted goes with the batch, or isn't heard of again.
            if rng.u8(..4) == 0 {
                std::mem::forget(batch);
                leaked += pushed.len() as u64;
            } else {
                drop(batch);
            }
            pushed.clear();
            if rng.bool() {
                // Looks for more only if there is nothing.
                if !submitted.values().any(|(state, _)| *state == State::Ready) {
                    ready(&mut submitted);
                }
                lane.wait_ready(Some(Duration::ZERO));
            }
            assert_eq!(lane.in_flight(), submitted.len(), "seed {seed}");
            assert_eq!(
                lane.room(),
                places as usize - submitted.len(),
                "seed {seed}"
            );
            let alive = submitted.len() as u64 + leaked;
            assert_eq!(buffers.load(SeqCst) as u64, next - alive, "seed {seed}");
            assert_eq!(values.load(SeqCst) as u64, next - alive, "seed {seed}");
        }
        drop(lane);
        fake.touch_all();
        fake.complete_all();
        queue.drain().unwrap();
        assert_eq!(buffers.load(SeqCst) as u64, next - leaked, "seed {seed}");
        assert_eq!(values.load(SeqCst) as u64, next - leaked, "seed {seed}");
        assert_eq!(common::room(&queue), places as usize + 2, "seed {seed}");
        assert_eq!((queue.in_flight(), queue.strays()), (0, 0), "seed {seed}");
    }
}

#[test]
fn lanes_handles_and_batches_of_many_threads_share_a_queue() {
    const BLOCKS: usize = 200;
    const ROUNDS: usize = 400;

    fn lane(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        let mut lane = queue.lane(1 + seed as u32 * 3).unwrap();
        let mut taken = 0;
        for round in 0.. {
            let mut batch = lane.batch();
            while taken < ROUNDS * 10 && batch.room() > 0 {
                let block = (round * 7 + batch.room() * 13 + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op, block).unwrap();
            }
            batch.submit().unwrap();
            drop(batch);
            if lane.wait_ready(None) == 0 {
                break;
            }
            while let Some((block, done)) = lane.try_take() {
                assert_eq!(done.buffer, bytes[block * 16..][..16]);
                taken += 1;
            }
        }
    }

    fn batches(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        let mut batch = queue.batch();
        let mut handles = Vec::new();
        let mut blocks = Vec::new();
        for round in 0..ROUNDS {
            for n in 0..6 {
                let block = (round * 11 + n * 5 + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op).unwrap();
                blocks.push(block);
            }
            batch.submit(&mut handles).unwrap();
            for (read, block) in handles.drain(..).zip(blocks.drain(..)) {
                assert_eq!(read.wait().buffer, bytes[block * 16..][..16]);
            }
        }
    }

    fn singles(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        for round in 0..ROUNDS * 3 {
            let block = (round * 3 + seed) % BLOCKS;
            let op = Op::read(vec![0; 16], block as u64 * 16);
            let read = queue.submit(file, op).unwrap();
            if round % 5 == 0 {
                drop(read);
                continue;
            }
            assert_eq!(read.wait().buffer, bytes[block * 16..][..16]);
        }
    }

    /// Lanes that are dropped with operations in flight.
    fn left(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        for round in 0..ROUNDS {
            // Abandoned operations may still have the places.
            let Ok(mut lane) = queue.lane(4) else {
                queue.reap(0, None).unwrap();
                continue;
            };
            let mut batch = lane.batch();
            for n in 0..4 {
                let block = (round + n + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op, block).unwrap();
                if n < 3 {
                    batch.submit().unwrap();
                }
            }
            drop(batch);
            for _ in 0..round % 4 {
                let (block, done) = lane.wait().unwrap();
                assert_eq!(done.buffer, bytes[block * 16..][..16]);
            }
        }
    }

    within(120, || {
        let scratch = Scratch::new();
        let bytes = pattern(BLOCKS * 16);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(128).unwrap();
        for run in [lane, batches, singles, left] as [fn(&_, &_, &_, _); 4] {
            // Alone they work, too.
            run(&queue, &file, &bytes, 1);
        }
        thread::scope(|scope| {
            for seed in 0..2 {
                for run in [lane, batches, singles, left] as [fn(&_, &_, &_, _); 4] {
                    let (queue, file, bytes) = (&queue, &file, &bytes);
                    scope.spawn(move || run(queue, file, bytes, seed));
                }
            }
            scope.spawn(|| lane(&queue, &file, &bytes, 5));
        });
        queue.drain().unwrap();
        assert_eq!((queue.in_flight(), queue.strays()), (0, 0));
        assert_eq!(common::room(&queue), 128);
    });
}

#[test]
fn lanes_dropped_while_completions_come_free_each_buffer_once() {
    within(60, || {
        let fake = Fake::prompt();
        let queue = Queue::with_kernel(16, fake).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || while queue.reap(1, None).is_ok() {})
        };
        let mut pushed = 0;
        for n in 0..20_000 {
            // Others before it may still have the places.
            let mut lane = loop {
                match queue.lane(1 + n % 7) {
                    Ok(lane) => break lane,
                    Err(reason) => assert_eq!(reason, QueueError::QueueFull),
                }
                thread::yield_now();
            };
            let places = lane.room() - (n % 2) as usize;
            let op = |_| {
                (
                    Op::read(Tracked::new(16, &drops), 0),
                    Tracked::new(0, &drops),
                )
            };
            common::submit(&mut lane, &file, (0..places).map(op));
            pushed += places;
            if n % 3 == 0 {
                let (_, waker) = common::Woken::new();
                let mut context = std::task::Context::from_waker(&waker);
                let _ = lane.poll_ready(&mut context);
            }
            if n % 5 == 0 {
                drop(lane.try_take());
            }
        }
        queue.clone().close().unwrap();
        // Only then has it cleaned up what it has reaped.
        reaper.join().unwrap();
        assert_eq!(drops.load(SeqCst), 2 * pushed);
    });
}
