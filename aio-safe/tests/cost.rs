//! What an operation costs: no allocation once a queue is warm.

#![allow(unsafe_code, reason = "counts allocations")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    task::{Context, Waker},
};

use aio_safe::{
    AlignedBuf, Errno, Op, Queue, buf::Pool, error::SetupError, fs::File, kernel::Linux,
};
use common::{Fake, WithoutRing, poll_once};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + size);
        FREED.set(FREED.get() + layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many allocations this thread makes in 100 runs, after 10 to warm up.
fn allocations(mut run: impl FnMut()) -> usize {
    (0..10).for_each(|_| run());
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| run());
    ALLOCATIONS.get() - before
}

fn queues() -> [Queue; 2] {
    [
        common::driven_by_test(32, Linux).unwrap(),
        common::driven_by_test(32, WithoutRing::default()).unwrap(),
    ]
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocations(|| drop(std::hint::black_box(vec![1_u8; 10]))),
        100
    );
}

#[test]
fn a_single_operation_allocates_nothing() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    for queue in queues() {
        let mut buffer = Some(vec![1_u8; 64]);
        let vector = allocations(|| {
            let op = Op::read(buffer.take().unwrap(), 0);
            buffer = Some(queue.submit(&zeros, op).unwrap().wait().buffer);
        });
        let mut buffer = Some(AlignedBuf::zeroed(512, 512).unwrap());
        let aligned = allocations(|| {
            let op = Op::read(buffer.take().unwrap(), 0);
            buffer = Some(queue.submit(&zeros, op).unwrap().wait().buffer);
        });
        let mut buffers = Some(vec![vec![1_u8; 8], vec![1; 8]]);
        let vectored = allocations(|| {
            let op = Op::read_vectored(buffers.take().unwrap(), 0);
            buffers = Some(queue.submit(&zeros, op).unwrap().wait().buffer);
        });
        let abandoned = allocations(|| {
            drop(queue.submit(&zeros, Op::read(Vec::new(), 0)).unwrap());
            queue.drain().unwrap();
        });
        let reserved = allocations(|| {
            let op = Op::read(Vec::new(), 0);
            let permit = queue.reserve().wait().unwrap();
            drop(permit.submit(&zeros, op).unwrap().wait());
        });
        assert_eq!((vector, aligned, abandoned, reserved), (0, 0, 0, 0));
        assert_eq!(vectored, 100, "the array that the kernel is told of");
    }
}

#[test]
fn a_batch_allocates_nothing() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    for queue in queues() {
        let mut batch = queue.batch();
        let mut handles = Vec::new();
        let mut buffers: Vec<_> = (0..20).map(|_| vec![1_u8; 16]).collect();
        let count = allocations(|| {
            for buffer in buffers.drain(..) {
                batch.push(&zeros, Op::read(buffer, 0)).unwrap();
            }
            batch.submit(&mut handles).unwrap();
            buffers.extend(handles.drain(..).map(|read| read.wait().buffer));
        });
        assert_eq!((count, buffers.len()), (0, 20));
    }
}

/// The allocation is the one in which the function is stored.
#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "the start of a worker allocates")]
fn an_operation_of_a_completion_pool_allocates_once() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    // One thread, so that each count is that thread's.
    let pool = Queue::builder(16).completion_pool(1).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(16);
    let (in_threads, counts) = std::sync::mpsc::sync_channel(16);
    let mut buffer = Some(vec![1_u8; 16]);
    let mut key = 0;
    let single = allocations(|| {
        key += 1;
        let sender = sender.clone();
        let op = Op::read(buffer.take().unwrap(), 0);
        let function = move |done: aio_safe::BufResult<_, _>| sender.send(done.buffer).unwrap();
        pool.submit_in_order(&zeros, op, key % 3, function).unwrap();
        buffer = receiver.recv().ok();
    });
    // How many allocations the pool's thread has made after that many operations more.
    let mut of_thread = |n: usize| {
        let mut last = 0;
        for _ in 0..n {
            let (sender, counted) = (sender.clone(), in_threads.clone());
            let op = Op::read(buffer.take().unwrap(), 0);
            let function = move |done: aio_safe::BufResult<_, _>| {
                counted.send(ALLOCATIONS.get()).unwrap();
                sender.send(done.buffer).unwrap();
            };
            pool.submit_in_order(&zeros, op, n as u64 % 3, function)
                .unwrap();
            buffer = receiver.recv().ok();
            last = counts.recv().unwrap();
        }
        last
    };
    of_thread(100);
    let before = of_thread(100);
    assert_eq!(
        of_thread(1000) - before,
        0,
        "allocations of the pool's thread"
    );
    let mut buffers: Vec<_> = (0..8).map(|_| vec![1_u8; 16]).collect();
    let in_batches = allocations(|| {
        let mut batch = pool.batch();
        for buffer in buffers.drain(..) {
            let sender = sender.clone();
            let function = move |done: aio_safe::BufResult<_, _>| sender.send(done.buffer).unwrap();
            batch.push(&zeros, Op::read(buffer, 0), function).unwrap();
        }
        batch.submit().unwrap();
        buffers.extend((0..8).map(|_| receiver.recv().unwrap()));
    });
    assert_eq!(single, 100);
    // The batch's own two lists grow twice for 8 operations.
    assert_eq!(in_batches, 100 * (8 + 4));
    pool.close().unwrap();
}

#[test]
fn a_lane_allocates_nothing() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    for queue in queues() {
        let mut lane = queue.lane(20).unwrap();
        let mut other = queue.lane(5).unwrap();
        let mut buffers: Vec<_> = (0..20_u64).map(|n| (n, vec![1_u8; 16])).collect();
        let mut others: Vec<_> = (0..5).map(|_| vec![1_u8; 8]).collect();
        let count = allocations(|| {
            let mut batch = lane.batch();
            for (n, buffer) in buffers.drain(..) {
                batch.push(&zeros, Op::read(buffer, 0), n).unwrap();
            }
            let (op, n) = batch.pop().unwrap();
            batch.push(&zeros, op, n).unwrap();
            batch.submit().unwrap();
            drop(batch);
            let ops = others.drain(..).map(|buffer| (Op::read(buffer, 0), ()));
            common::submit(&mut other, &zeros, ops);
            // Each takes its own, and what the other one has reaped for it.
            let taken = std::iter::from_fn(|| lane.wait());
            buffers.extend(taken.map(|(n, done)| (n, done.buffer)));
            while other.wait_ready(None) > 0 {
                others.extend(other.try_take().map(|((), done)| done.buffer));
            }
        });
        assert_eq!((count, buffers.len(), others.len()), (0, 20, 5));
    }
}

#[test]
fn a_vectored_lane_with_a_number_for_a_value_allocates_nothing() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    for queue in queues() {
        let mut lane = queue.lane(4).unwrap();
        // An operation has an array, which the kernel is told of; the lane adds nothing to it.
        let op = |n| (Op::read_vectored(vec![vec![1_u8; 8], vec![1; 8]], 0), n);
        let mut ops: Vec<_> = (0..440_u64).map(op).collect();
        let mut taken = 0;
        let count = allocations(|| {
            let from = ops.len() - 4;
            common::submit(&mut lane, &zeros, ops.drain(from..));
            taken += std::iter::from_fn(|| lane.wait()).count();
        });
        assert_eq!((count, taken), (0, 440));
    }
}

#[test]
fn a_lane_that_is_polled_allocates_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let file = std::io::stdin();
    let mut lane = queue.lane(4).unwrap();
    let mut buffer = Some(vec![1_u8; 64]);
    let count = allocations(|| {
        let op = Op::read(buffer.take().unwrap(), 0);
        common::submit(&mut lane, &file, [(op, ())]);
        assert!(lane.poll_ready(&mut context).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert!(lane.poll_ready(&mut context).is_ready());
        buffer = lane.try_take().map(|((), done)| done.buffer);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_lane_that_is_dropped_leaves_nothing_behind() {
    let fake = Fake::new();
    let queue = common::driven_by_test(100, fake.clone()).unwrap();
    let file = std::io::stdin();
    let run = |in_flight: usize| {
        let mut lane = queue.lane(70).unwrap();
        let ops = (0..70_u64).map(|n| (Op::read(vec![1_u8; 8], n), vec![n]));
        common::submit(&mut lane, &file, ops);
        (in_flight..70).for_each(|_| fake.complete(0));
        while queue.reap(0, None).unwrap() > 0 {}
        assert!(in_flight == 70 || lane.try_take().is_some());
        drop(lane);
        // In turns, the last of which ends it.
        while !fake.in_flight().is_empty() {
            fake.complete(0);
            queue.reap(1, None).unwrap();
        }
    };
    for in_flight in [0, 1, 3, 70] {
        (0..3).for_each(|_| run(in_flight));
        let before = BYTES.get() - FREED.get();
        (0..10).for_each(|_| run(in_flight));
        assert_eq!(BYTES.get() - FREED.get(), before, "{in_flight} in flight");
    }
    // Nor does one that couldn't be made.
    let before = BYTES.get() - FREED.get();
    assert!(
        queue
            .lane::<aio_safe::op::Transfer<Vec<u8>>, ()>(101)
            .is_err()
    );
    assert_eq!(BYTES.get() - FREED.get(), before);
}

#[test]
fn a_future_allocates_nothing() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let waker = Waker::noop();
    let mut buffer = Some(vec![1_u8; 64]);
    let count = allocations(|| {
        let op = Op::read(buffer.take().unwrap(), 0);
        let mut read = queue.submit(std::io::stdin(), op).unwrap();
        assert!(poll_once(&mut read, waker).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        let std::task::Poll::Ready(done) = poll_once(&mut read, waker) else {
            panic!("it was reaped");
        };
        buffer = Some(done.buffer);
    });
    assert_eq!(count, 0);
}

fn buffered_file() -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    file.into()
}

/// Threads and tasks, in one transfer or in several, with a buffer of the pool's.
#[test]
fn a_file_allocates_nothing() {
    let file = buffered_file();
    let pool = Pool::new(2, 512, 512).unwrap();
    for queue in queues() {
        let threads = allocations(|| {
            let buffer = pool.take().wait();
            let read = file.read_exact_at(&queue, buffer, 512, 512).wait();
            assert_eq!(read.result, Ok(512));
            let written = file.write_all_at(&queue, read.buffer, 0).wait();
            assert_eq!(written.result, Ok(512));
            let read = file.read_at(&queue, written.buffer, 0).wait();
            assert_eq!(read.result, Ok(512));
            file.sync_data(&queue).wait().unwrap();
        });
        let held = pool.try_take();
        let mut context = Context::from_waker(Waker::noop());
        let tasks = allocations(|| {
            let mut task = std::pin::pin!(async {
                let buffer = pool.take().await;
                let read = file.read_exact_at(&queue, buffer, 512, 512).await;
                file.write_all_at(&queue, read.buffer, 0)
                    .await
                    .result
                    .unwrap();
                file.sync_all(&queue).await.unwrap();
            });
            while task.as_mut().poll(&mut context).is_pending() {
                queue.reap(0, None).unwrap();
            }
        });
        drop(held);
        assert_eq!((threads, tasks), (0, 0));
    }
}

#[test]
fn a_short_transfer_is_continued_without_an_allocation() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let file = buffered_file();
    let mut buffer = Some(file.buffer(64).unwrap());
    let count = allocations(|| {
        let mut read = file.read_exact_at(&queue, buffer.take().unwrap(), 64, 0);
        for n in [10, 20, 34] {
            assert!(poll_once(&mut read, Waker::noop()).is_pending());
            fake.complete_with(0, n);
            queue.reap(1, None).unwrap();
        }
        let std::task::Poll::Ready(done) = poll_once(&mut read, Waker::noop()) else {
            panic!("everything was read");
        };
        assert_eq!(done.result, Ok(64));
        buffer = Some(done.buffer);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_wait_for_a_buffer_allocates_nothing() {
    let pool = Pool::new(1, 8, 8).unwrap();
    let count = allocations(|| {
        let held = pool.try_take().unwrap();
        let mut first = pool.take();
        let mut second = pool.take();
        assert!(poll_once(&mut first, Waker::noop()).is_pending());
        assert!(poll_once(&mut second, Waker::noop()).is_pending());
        drop(held);
        drop(first);
        assert!(poll_once(&mut second, Waker::noop()).is_ready());
    });
    assert_eq!((count, pool.available()), (0, 1));
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_slot_is_two_cache_lines_and_its_payload() {
    let bytes = |depth| {
        let fake = Fake::new();
        let before = BYTES.get();
        let queue = common::driven_by_test(depth, fake).unwrap();
        let bytes = BYTES.get() - before;
        drop(queue);
        bytes
    };
    // What is the same for every depth doesn't count; two bits in the free list do.
    let slot = (bytes(20_000) - bytes(10_000)) as f64 / 10_000.0;
    let payload = 64.0;
    // Two points in time.
    let times = if cfg!(feature = "tracing") { 64.0 } else { 0.0 };
    assert!(
        (slot - payload - 2.0 * 64.0 - times).abs() < 0.3,
        "{slot} bytes a slot"
    );
}

#[test]
fn a_wait_for_room_that_is_given_up_leaves_nothing_behind() {
    let fake = Fake::prompt();
    let queue = common::driven_by_test(1, fake).unwrap();
    let full = queue.submit(std::io::stdin(), Op::fsync()).unwrap();
    queue.reap(1, None).unwrap();
    let mut first = queue.reserve();
    assert!(poll_once(&mut first, Waker::noop()).is_pending());
    let before = BYTES.get() - FREED.get();
    for _ in 0..1000 {
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, Waker::noop()).is_pending());
    }
    assert_eq!(BYTES.get() - FREED.get(), before);
    full.wait().unwrap();
    drop(first);
    queue
        .submit(std::io::stdin(), Op::fsync())
        .unwrap()
        .wait()
        .unwrap();
}

#[test]
fn a_queue_that_the_kernel_has_no_room_for_allocates_next_to_nothing() {
    for depth in [1, Queue::MAX_DEPTH] {
        let fake = Fake::new();
        fake.refuse_setup(Errno::EAGAIN);
        let before = BYTES.get();
        let refused = common::driven_by_test(depth, fake).unwrap_err();
        assert!(matches!(refused, SetupError::Limit { .. }), "{refused}");
        let bytes = BYTES.get() - before;
        // What the error tells is read from /proc.
        assert!(bytes < 4096, "{bytes} bytes for a depth of {depth}");
    }
}
