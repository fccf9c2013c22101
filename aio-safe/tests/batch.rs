//! Batches: each operation has its own outcome, and none is lost.

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use aio_safe::{Errno, Op, OpError, Pending, Queue, error::QueueError, op::Transfer, queue::Batch};
use common::{Fake, Scratch, Tracked, Verdict, pattern, within};

type Bytes = Transfer<Vec<u8>>;

fn push<'a>(batch: &mut Batch<'a, Bytes>, file: &'a std::io::Stdin, offset: u64) {
    batch.push(file, Op::read(vec![0; 8], offset)).unwrap();
}

fn results(handles: Vec<Pending<Bytes>>) -> Vec<Result<usize, OpError>> {
    handles
        .into_iter()
        .map(|pending| pending.wait().result)
        .collect()
}

#[test]
fn one_call_submits_all_in_order() {
    let scratch = Scratch::new();
    let bytes = pattern(32 * 64);
    let file = scratch.file("file", &bytes);
    let queue = Queue::new(64).unwrap();
    let mut batch = queue.batch();
    let mut handles = Vec::new();
    for round in 0..3 {
        for n in 0..32 {
            batch.push(&file, Op::read(vec![0; 64], n * 64)).unwrap();
        }
        assert_eq!(batch.len(), 32);
        batch.submit(&mut handles).unwrap();
        assert!(batch.is_empty());
        assert_eq!(handles.len(), 32, "round {round}");
        for (n, read) in handles.drain(..).enumerate() {
            assert_eq!(read.wait().buffer, bytes[n * 64..][..64]);
        }
    }
}

#[test]
fn one_call_of_the_kernel_is_enough() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(200, fake.clone()).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for offset in 0..200 {
        push(&mut batch, &file, offset);
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert_eq!(fake.submits(), 1);
    batch.submit(&mut handles).unwrap();
    assert_eq!(
        (fake.submits(), handles.len()),
        (1, 200),
        "nothing to submit"
    );
    assert!(results(handles).iter().all(|result| *result == Ok(8)));
}

#[test]
fn what_the_kernel_leaves_is_submitted_again() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(16, fake.clone()).unwrap();
    fake.on_submit(|iocb| match iocb.aio_offset % 3 {
        0 => Verdict::Pause,
        _ => Verdict::Accept,
    });
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for offset in 0..10 {
        push(&mut batch, &file, offset);
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert_eq!(fake.submits(), 4);
    assert_eq!(results(handles), vec![Ok(8); 10]);
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
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for offset in 0..10 {
        push(&mut batch, &file, offset);
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert_eq!(queue.in_flight(), 5);
    let expected: Vec<_> = (0..10)
        .map(|offset| bad(offset).map_or(Ok(8), |errno| Err(OpError::Refused(errno))))
        .collect();
    assert_eq!(results(handles), expected);
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn refusals_of_the_real_kernel_hit_only_whom_they_are_for() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &pattern(64));
    let write_only = std::fs::OpenOptions::new()
        .write(true)
        .open(scratch.path("file"))
        .unwrap();
    let queue = Queue::new(16).unwrap();
    let mut batch = queue.batch();
    for n in 0..9 {
        let from = if n % 4 == 1 { &write_only } else { &file };
        batch.push(from, Op::read(vec![0; 8], n)).unwrap();
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    for (n, result) in results(handles).into_iter().enumerate() {
        let refused = Err(OpError::Refused(Errno::EBADF));
        assert_eq!(result, if n % 4 == 1 { refused } else { Ok(8) }, "{n}");
    }
}

#[test]
fn a_batch_that_meets_eagain_goes_on_where_it_was() {
    let fake = Fake::new();
    let queue = common::driven_by_test(16, fake.clone()).unwrap();
    let room = Arc::new(Mutex::new(4));
    {
        let room = Arc::clone(&room);
        fake.on_submit(move |_| {
            let mut room = room.lock().unwrap();
            if *room == 0 {
                return Verdict::Refuse(Errno::EAGAIN);
            }
            *room -= 1;
            Verdict::Accept
        });
    }
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for offset in 0..10 {
        push(&mut batch, &file, offset);
    }
    let mut handles = Vec::new();
    assert_eq!(batch.submit(&mut handles), Err(QueueError::Again));
    assert_eq!((handles.len(), batch.len(), queue.in_flight()), (4, 6, 4));
    assert_eq!(batch.submit(&mut handles), Err(QueueError::Again));
    assert_eq!((handles.len(), batch.len(), queue.in_flight()), (4, 6, 4));
    // Neither call was followed by another without need.
    assert_eq!(fake.submits(), 3);
    fake.complete_all();
    assert_eq!(queue.reap(4, None), Ok(4));
    *room.lock().unwrap() = 100;
    batch.submit(&mut handles).unwrap();
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [4, 5, 6, 7, 8, 9]);
    fake.complete_all();
    assert_eq!(results(handles), vec![Ok(8); 10]);
}

#[test]
fn pop_hands_back_what_was_pushed_last() {
    let queue = common::driven_by_test(4, Fake::prompt()).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for n in 0..3_u8 {
        batch.push(&file, Op::read(vec![n; 3], 0)).unwrap();
    }
    for n in (0..3).rev() {
        let op = batch.pop().unwrap();
        assert_eq!(op.into_payload().into_buffer(), [n; 3]);
    }
    assert!(batch.pop().is_none());
    // All slots are free again.
    drop(batch);
    for _ in 0..4 {
        std::mem::forget(queue.submit(&file, Op::fsync()).unwrap());
    }
}

#[test]
fn a_cleared_batch_drops_what_was_not_submitted_and_nothing_else() {
    let fake = Fake::new();
    let queue = common::driven_by_test(8, fake.clone()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let file = std::io::stdin();
    let mut handles = Vec::new();
    let mut batch = queue.batch();
    for n in 0..6 {
        batch
            .push(&file, Op::read(Tracked::new(16, &drops), n))
            .unwrap();
        if n == 1 {
            batch.submit(&mut handles).unwrap();
        }
    }
    batch.clear();
    drop(batch);
    assert_eq!(drops.load(SeqCst), 4);
    fake.touch_all();
    fake.complete_all();
    for pending in handles {
        assert_eq!(pending.wait().buffer.bytes[..], [Fake::BYTE; 16]);
    }
    fake.set_prompt(true);
    for _ in 0..8 {
        std::mem::forget(queue.submit(&file, Op::fsync()).unwrap());
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds don't panic")]
fn a_batch_that_nobody_submits_panics_in_debug_builds() {
    let queue = common::driven_by_test(2, Fake::prompt()).unwrap();
    let file = std::io::stdin();
    let drops = Arc::new(AtomicUsize::new(0));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut batch = queue.batch();
        batch
            .push(&file, Op::read(Tracked::new(16, &drops), 0))
            .unwrap();
    }));
    let text = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(
        text.contains("1 operations that were never submitted"),
        "{text}"
    );
    assert_eq!((drops.load(SeqCst), common::room(&queue)), (1, 2));
}

#[test]
fn a_batch_that_has_returned_an_error_may_be_dropped() {
    let queue = common::driven_by_test(1, Fake::prompt()).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    push(&mut batch, &file, 0);
    batch.push(&file, Op::read(vec![0; 8], 1)).unwrap_err();
    drop(batch);
    let mut batch = queue.batch();
    push(&mut batch, &file, 0);
    queue.clone().close().unwrap();
    batch.submit(&mut Vec::new()).unwrap_err();
    drop(batch);
}

#[test]
fn a_full_queue_hands_the_operation_back_to_the_batch() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(3, fake).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for n in 0..3_u8 {
        batch.push(&file, Op::read(vec![n; 8], 0)).unwrap();
    }
    let back = batch.push(&file, Op::read(vec![77; 8], 0)).unwrap_err();
    assert_eq!(back.reason, QueueError::QueueFull);
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert_eq!(
        batch.push(&file, back.op).unwrap_err().reason,
        QueueError::QueueFull
    );
    assert_eq!(results(handles), vec![Ok(8); 3]);
    push(&mut batch, &file, 0);
    batch.clear();
}

#[test]
fn a_batch_moves_between_threads() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(16, fake).unwrap();
    let file = std::io::stdin();
    let mut batch = queue.batch();
    for offset in 0..5 {
        push(&mut batch, &file, offset);
    }
    let handles = thread::scope(|scope| {
        let submit = scope.spawn(move || {
            let mut handles = Vec::new();
            batch.submit(&mut handles).unwrap();
            handles
        });
        submit.join().unwrap()
    });
    assert_eq!(results(handles), vec![Ok(8); 5]);
}

#[test]
fn batches_of_many_threads_share_a_queue() {
    within(60, || {
        let scratch = Scratch::new();
        let bytes = pattern(100 * 16);
        let file = Arc::new(scratch.file("file", &bytes));
        let queue = Queue::new(40).unwrap();
        let threads: Vec<_> = (0..5)
            .map(|seed| {
                let (queue, file, bytes) = (queue.clone(), Arc::clone(&file), bytes.clone());
                thread::spawn(move || {
                    let mut batch = queue.batch();
                    let mut handles = Vec::new();
                    let mut blocks = Vec::new();
                    for round in 0..200 {
                        for n in 0..1 + (round + seed) % 7 {
                            let block = (round * 7 + n * 13 + seed) % 100;
                            let op = Op::read(vec![0; 16], block as u64 * 16);
                            batch.push(&*file, op).unwrap();
                            blocks.push(block);
                        }
                        batch.submit(&mut handles).unwrap();
                        for (read, block) in handles.drain(..).zip(blocks.drain(..)) {
                            assert_eq!(read.wait().buffer, bytes[block * 16..][..16]);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!((queue.in_flight(), queue.stats().strays), (0, 0));
    });
}
