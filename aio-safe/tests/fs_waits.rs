//! Operations of a file that wait: for a slot, for room in the kernel, in threads and tasks.

mod common;

use std::{
    io::ErrorKind,
    sync::Arc,
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Op, Queue,
    error::QueueError,
    fs::{Direct, Error, File, OpenOptions, Syncing, Transferring, VectoredTransferring},
};
use common::{Fake, Scratch, Verdict, Woken, block_on, in_child, poll_once, room, within};
use static_assertions::assert_impl_all;

assert_impl_all!(Transferring<'static, Vec<u8>>: Future, Unpin, Send, Sync);
assert_impl_all!(VectoredTransferring<'static, Vec<u8>>: Future, Unpin, Send, Sync);
assert_impl_all!(Syncing<'static>: Future, Unpin, Send, Sync);

fn file(scratch: &Scratch) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options
        .direct(Direct::Off)
        .open(scratch.path("file"))
        .unwrap()
}

fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it isn't ready"),
    }
}

/// It is submitted when it is made, not when it is polled first.
#[test]
fn an_operation_is_submitted_at_once_if_a_slot_is_free() {
    let (scratch, fake) = (Scratch::new(), Fake::new());
    let file = file(&scratch);
    let queue = common::driven_by_test(3, fake.clone()).unwrap();
    let mut read = file.read_at(&queue, vec![0_u8; 8], 0);
    let mut sync = file.sync_all(&queue);
    let mut parts = file.write_vectored_at(&queue, vec![vec![1_u8; 4]], 0);
    assert_eq!((fake.in_flight().len(), fake.submits()), (3, 3));
    for it in [
        format!("{read:?}"),
        format!("{sync:?}"),
        format!("{parts:?}"),
    ] {
        assert!(it.contains("submitted: true"), "{it}");
    }
    let (woken, waker) = Woken::new();
    assert!(poll_once(&mut read, &waker).is_pending());
    assert!(poll_once(&mut sync, &waker).is_pending());
    assert!(poll_once(&mut parts, &waker).is_pending());
    fake.complete_all();
    queue.reap(3, None).unwrap();
    assert_eq!(woken.count(), 3);
    let read = ready(poll_once(&mut read, &waker));
    assert_eq!((read.result, read.buffer), (Ok(8), vec![Fake::BYTE; 8]));
    ready(poll_once(&mut sync, &waker)).unwrap();
    assert_eq!(ready(poll_once(&mut parts, &waker)).result, Ok(4));
}

#[test]
fn tasks_wait_for_a_slot_in_line() {
    let (scratch, fake) = (Scratch::new(), Fake::new());
    let file = file(&scratch);
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let mut first = file.read_at(&queue, vec![0_u8; 1], 0);
    let mut second = file.write_vectored_at(&queue, vec![vec![0_u8; 2]], 0);
    let mut third = file.sync_data(&queue);
    let dropped = file.write_at(&queue, vec![0_u8; 3], 0);
    assert!(
        format!("{second:?}{third:?}{dropped:?}")
            .matches("submitted: false")
            .count()
            == 3
    );
    let (woken, waker) = Woken::new();
    let pending = |poll: bool| assert!(poll);
    pending(poll_once(&mut first, &waker).is_pending());
    pending(poll_once(&mut second, &waker).is_pending());
    let mut dropped = dropped;
    pending(poll_once(&mut dropped, &waker).is_pending());
    pending(poll_once(&mut third, &waker).is_pending());
    // It gives up its place, and nothing is written.
    drop(dropped);
    for expected in [1, 2, 3] {
        assert_eq!(fake.in_flight().len(), 1);
        fake.complete(0);
        queue.reap(1, None).unwrap();
        match expected {
            1 => assert_eq!(ready(poll_once(&mut first, &waker)).result, Ok(1)),
            2 => assert_eq!(ready(poll_once(&mut second, &waker)).result, Ok(2)),
            _ => ready(poll_once(&mut third, &waker)).unwrap(),
        }
        if expected == 1 {
            // The slot is the second's, and is used when that is polled.
            assert!(poll_once(&mut second, &waker).is_pending());
        } else if expected == 2 {
            assert!(poll_once(&mut third, &waker).is_pending());
        }
    }
    assert_eq!((woken.count(), room(&queue)), (5, 1));
}

#[test]
fn threads_wait_for_a_slot() {
    within(20, || {
        let (scratch, fake) = (Scratch::new(), Fake::new());
        let file = file(&scratch);
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        let first = queue.submit(&file, Op::fsync()).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| file.read_exact_at(&queue, vec![0_u8; 8], 8, 0).wait());
            fake.until_blocked(1);
            fake.complete(0);
            first.wait().unwrap();
            fake.until_in_flight(1);
            // A short one. The rest waits for a slot in its turn.
            fake.complete_with(0, 5);
            fake.until_in_flight(1);
            assert_eq!(fake.in_flight()[0].iocb.aio_offset, 5);
            fake.complete(0);
            assert_eq!(waits.join().unwrap().result, Ok(8));
        });
    });
}

/// The kernel has no room for a while (EAGAIN).
#[test]
fn without_room_in_the_kernel_it_is_tried_again() {
    within(20, || {
        let scratch = Scratch::new();
        let file = file(&scratch);
        for refusals in [1, 5] {
            let fake = Fake::prompt();
            let queue = common::driven_by_test(2, fake.clone()).unwrap();
            let no_room = || {
                let mut left = refusals;
                fake.on_submit(move |_| {
                    let verdict = if left > 0 {
                        Verdict::Refuse(Errno::EAGAIN)
                    } else {
                        Verdict::Accept
                    };
                    left = i32::max(left - 1, 0);
                    verdict
                });
            };
            no_room();
            assert_eq!(file.read_at(&queue, vec![0_u8; 8], 0).wait().result, Ok(8));
            no_room();
            file.sync_all(&queue).wait().unwrap();
            no_room();
            // A task is polled again, and lets others run in between.
            let (woken, waker) = Woken::new();
            let mut write = file.write_all_at(&queue, vec![1_u8; 8], 0);
            let mut polls = 0;
            let written = loop {
                polls += 1;
                match poll_once(&mut write, &waker) {
                    Poll::Ready(written) => break written,
                    Poll::Pending => _ = queue.reap(0, None).unwrap(),
                }
            };
            assert_eq!(written.result, Ok(8));
            assert!(woken.count() >= refusals as usize - 1, "{polls} polls");
        }
    });
}

#[test]
fn without_room_for_ever_it_ends() {
    within(60, || {
        let (scratch, fake) = (Scratch::new(), Fake::new());
        let file = file(&scratch);
        fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
        let queue = common::driven_by_test(2, fake).unwrap();
        let read = file.read_at(&queue, vec![7_u8; 8], 0).wait();
        let again = Error::Queue(QueueError::Again);
        assert_eq!((read.result, read.buffer), (Err(again.clone()), vec![7; 8]));
        // The task is woken each time, so it is polled again.
        let read = block_on(file.read_vectored_at(&queue, vec![vec![7_u8; 8]], 0));
        assert_eq!(
            (read.result, read.buffer),
            (Err(again.clone()), vec![vec![7; 8]])
        );
        assert_eq!(block_on(file.sync_data(&queue)), Err(again.clone()));
        assert_eq!(std::io::Error::from(again).kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_queue_that_is_closed_hands_everything_back() {
    within(20, || {
        let (scratch, fake) = (Scratch::new(), Fake::new());
        let file = file(&scratch);
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        let first = queue.submit(&file, Op::fsync()).unwrap();
        let mut read = file.read_at(&queue, vec![7_u8; 8], 0);
        assert!(poll_once(&mut read, Waker::noop()).is_pending());
        let later = file.write_at(&queue, vec![8_u8; 8], 0);
        fake.complete(0);
        queue.clone().close().unwrap();
        let closed = Error::Queue(QueueError::Closed);
        let read = block_on(read);
        assert_eq!(
            (read.result, read.buffer),
            (Err(closed.clone()), vec![7; 8])
        );
        let later = later.wait();
        assert_eq!(
            (later.result, later.buffer),
            (Err(closed.clone()), vec![8; 8])
        );
        let new = file.read_vectored_at(&queue, vec![vec![9_u8; 8]], 0).wait();
        assert_eq!(
            (new.result, new.buffer),
            (Err(closed.clone()), vec![vec![9; 8]])
        );
        assert_eq!(file.sync_all(&queue).wait(), Err(closed.clone()));
        assert_eq!(std::io::Error::from(closed).kind(), ErrorKind::BrokenPipe);
        first.wait().unwrap();
    });
}

#[test]
fn a_child_process_gets_its_buffer_back() {
    let scratch = Scratch::new();
    let file = file(&scratch);
    let queue = Queue::new(1).unwrap();
    in_child(|| {
        let read = file.read_at(&queue, vec![7_u8; 8], 0).wait();
        assert_eq!(read.result, Err(Error::Queue(QueueError::Forked)));
        assert_eq!(read.buffer, [7; 8]);
    });
}

/// A write that was dropped takes place: `drain` waits for it. Its continuation doesn't.
#[test]
fn a_dropped_write_goes_on_and_is_not_continued() {
    let (scratch, fake) = (Scratch::new(), Fake::new());
    let file = file(&scratch);
    let queue = common::driven_by_test(2, fake.clone()).unwrap();
    let mut write = file.write_all_at(&queue, vec![1_u8; 8], 0);
    assert!(poll_once(&mut write, Waker::noop()).is_pending());
    drop(write);
    assert_eq!(fake.in_flight().len(), 1);
    fake.complete_with(0, 3);
    queue.drain().unwrap();
    assert_eq!((fake.submits(), room(&queue)), (1, 2));
}

#[test]
fn a_task_that_owns_queue_and_file_can_be_spawned() {
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        thread::spawn(|| block_on(task)).join().unwrap()
    }

    within(20, || {
        let scratch = Scratch::new();
        let file = Arc::new(file(&scratch));
        let queue = Queue::new(2).unwrap();
        let reaper = queue.reaper();
        let reaps = thread::spawn(move || while reaper.reap(1, None).is_ok() {});
        let read = spawn({
            let (queue, file) = (queue.clone(), Arc::clone(&file));
            async move {
                let write = file.write_all_at(&queue, b"from a task".to_vec(), 0).await;
                write.result?;
                file.sync_data(&queue).await?;
                let read = file
                    .read_exact_at(&queue, Vec::with_capacity(11), 11, 0)
                    .await;
                read.into_result()
            }
        });
        assert_eq!(read.unwrap(), (11, b"from a task".to_vec()));
        drop(queue);
        reaps.join().unwrap();
    });
}

#[test]
fn a_future_that_is_polled_too_often_says_so() {
    let scratch = Scratch::new();
    let file = file(&scratch);
    let queue = common::driven_by_test(1, Fake::prompt()).unwrap();
    let mut read = file.read_at(&queue, vec![0_u8; 8], 0);
    queue.reap(1, Some(Duration::ZERO)).unwrap();
    ready(poll_once(&mut read, Waker::noop())).result.unwrap();
    let panic = common::caught(|| poll_once(&mut read, Waker::noop()).is_ready());
    assert!(common::text(&*panic).contains("after it was over"));
}
