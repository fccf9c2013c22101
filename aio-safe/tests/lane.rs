//! Lanes: each operation comes back once, with its value.

mod common;

use std::{collections::BTreeMap, fs::OpenOptions, thread};

use aio_safe::{Errno, Op, OpError, Queue};
use common::{
    Fake, Scratch, Verdict, pattern, push, results, submit, submit_reads, take_all, within,
};

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
    submit(&mut lane, &file, [(write, "write")]);
    assert_eq!(lane.wait().unwrap().1.result, Ok(4));
    submit(&mut lane, &file, [(Op::read(vec![0; 8], 2), "read")]);
    let (value, done) = lane.wait().unwrap();
    assert_eq!((value, done.buffer), ("read", b"..0123..".to_vec()));

    let mut vectored = queue.lane(2).unwrap();
    let read = Op::read_vectored(vec![vec![0; 6], vec![0; 2]], 0);
    let write = Op::write_vectored(vec![b"ab".to_vec(), b"cd".to_vec()], 12);
    submit(&mut vectored, &file, [(read, 1), (write, 2)]);
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
fn refused_operations_get_their_own_errno_and_the_others_run() {
    let bad = |offset: i64| match offset {
        0 | 3 | 4 => Some(Errno::EBADF),
        7 => Some(Errno::EINVAL),
        9 => Some(Errno::EOPNOTSUPP),
        _ => None,
    };
    let fake = Fake::prompt();
    let queue = common::driven_by_test(16, fake.clone()).unwrap();
    fake.on_submit(move |iocb| bad(iocb.aio_offset).map_or(Verdict::Accept, Verdict::Refuse));
    let mut lane = queue.lane(12).unwrap();
    for round in 0..3 {
        submit_reads(&mut lane, 0..10);
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
fn a_refused_operation_is_not_kept_waiting_by_others() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    fake.on_submit(|iocb| match iocb.aio_offset {
        1 => Verdict::Refuse(Errno::EBADF),
        _ => Verdict::Accept,
    });
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    submit_reads(&mut lane, 0..4);
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
fn operations_that_fail_say_so() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut lane = queue.lane(3).unwrap();
    submit_reads(&mut lane, 0..3);
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
fn a_lane_moves_between_threads() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
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
