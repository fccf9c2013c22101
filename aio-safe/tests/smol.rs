//! `Driver::AsyncIo`: driven by async-io's reactor, under smol.

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aio_safe::{Op, Queue, op::PollEvents, queue::Driver};
use common::{Blocks, alone, futures, threads, within};
use smol::{
    LocalExecutor, Timer,
    future::{or, pending, zip},
};

fn queue(depth: u32) -> Queue {
    let builder = Queue::builder(depth).driver(Driver::AsyncIo);
    builder.build().unwrap()
}

#[test]
fn a_future_is_woken_by_the_reactor() {
    alone("a_future_is_woken_by_the_reactor", || {
        let queue = queue(1);
        let (reader, writer) = UnixStream::pair().unwrap();
        smol::block_on(async {
            for _ in 0..20 {
                let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
                let write = async {
                    Timer::after(Duration::from_millis(1)).await;
                    (&writer).write_all(b"x").unwrap();
                };
                let (ready, ()) = zip(ready, write).await;
                assert!(ready.unwrap().contains(PollEvents::IN));
                (&reader).read_exact(&mut [0]).unwrap();
            }
        });
        assert_eq!(threads("aio-safe"), 0, "there is no thread of the queue's");
    });
}

#[test]
fn ten_thousand_concurrent_reads_finish_in_one_thread() {
    alone("ten_thousand_concurrent_reads_finish_in_one_thread", || {
        let (queue, blocks) = (queue(64), Blocks::new());
        let executor = LocalExecutor::new();
        let tasks: Vec<_> = (0..10_000)
            .map(|n| executor.spawn(blocks.clone().read(queue.clone(), n)))
            .collect();
        smol::block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
        blocks.assert_nothing_left(&queue);
        assert_eq!(threads("aio-safe"), 0);
    });
}

#[test]
fn half_of_all_futures_may_be_dropped_at_random() {
    within(3000, || {
        let (queue, blocks) = (queue(8), Blocks::new());
        let rounds = futures() / 16;
        let finished = Arc::new(AtomicUsize::new(0));
        let mut random = fastrand::Rng::with_seed(7);
        let mut task = || {
            let read = blocks.clone().read(queue.clone(), random.u64(..));
            let (finished, drops) = (finished.clone(), random.bool());
            let patience = Duration::from_micros(random.u64(0..300));
            async move {
                let finishes = async {
                    read.await;
                    finished.fetch_add(1, SeqCst);
                };
                let drops = async {
                    if drops {
                        Timer::after(patience).await;
                    } else {
                        pending::<()>().await;
                    }
                };
                or(finishes, drops).await;
            }
        };
        for _ in 0..rounds {
            let executor = LocalExecutor::new();
            let tasks: Vec<_> = (0..16).map(|_| executor.spawn(task())).collect();
            smol::block_on(executor.run(async {
                for task in tasks {
                    task.await;
                }
            }));
        }
        blocks.assert_nothing_left(&queue);
        let finished = finished.load(SeqCst);
        assert!((rounds * 8..rounds * 16).contains(&finished), "{finished}");
    });
}

#[test]
#[cfg_attr(
    aio_kernel = "threads",
    ignore = "the reactor may be in its turn yet, with the queue"
)]
fn queues_that_are_dropped_leave_no_descriptor() {
    alone("queues_that_are_dropped_leave_no_descriptor", || {
        let zeros = File::open("/dev/zero").unwrap();
        let mut counts = Vec::new();
        for _ in 0..20 {
            let queue = queue(4);
            let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
            smol::block_on(read).into_result().unwrap();
            drop(queue);
            counts.push(std::fs::read_dir("/proc/self/fd").unwrap().count());
        }
        // The first one starts async-io, which stays.
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    });
}
