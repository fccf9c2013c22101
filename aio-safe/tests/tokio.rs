//! `Driver::Tokio`: driven by the reactor of a tokio runtime.

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Op, Queue, error::SetupError, op::PollEvents, queue::Driver};
use common::{Blocks, Does, Flag, alone, block_on, futures, poll_once, threads, within};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// A queue that this runtime drives.
fn queue(runtime: &Runtime, depth: u32) -> Queue {
    let _inside = runtime.enter();
    let builder = Queue::builder(depth).driver(Driver::Tokio);
    builder.build().unwrap()
}

#[test]
fn a_future_is_woken_by_the_reactor() {
    alone("a_future_is_woken_by_the_reactor", || {
        for runtime in [current_thread(), multi_thread()] {
            let queue = queue(&runtime, 1);
            let (reader, writer) = UnixStream::pair().unwrap();
            runtime.block_on(async {
                for _ in 0..20 {
                    let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
                    let ready = tokio::spawn(ready);
                    sleep(Duration::from_millis(1)).await;
                    (&writer).write_all(b"x").unwrap();
                    assert!(ready.await.unwrap().unwrap().contains(PollEvents::IN));
                    (&reader).read_exact(&mut [0]).unwrap();
                }
            });
            assert_eq!(threads("aio-safe"), 0, "there is no thread of the queue's");
        }
    });
}

#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "workers are threads"
)]
fn ten_thousand_concurrent_reads_finish_in_one_thread() {
    alone("ten_thousand_concurrent_reads_finish_in_one_thread", || {
        let runtime = current_thread();
        let (queue, blocks) = (queue(&runtime, 64), Blocks::new());
        let before = std::fs::read_dir("/proc/self/task").unwrap().count();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for n in 0..10_000 {
                tasks.spawn(blocks.clone().read(queue.clone(), n));
            }
            while let Some(read) = tasks.join_next().await {
                read.unwrap();
            }
        });
        blocks.assert_nothing_left(&queue);
        let after = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert_eq!(before, after, "no other thread was needed");
    });
}

/// The rest is waited for by threads.
#[test]
fn ten_thousand_reads_finish_though_the_runtime_is_shut_down_half_way() {
    within(300, || {
        for runtime in [current_thread(), multi_thread()] {
            let (queue, blocks) = (queue(&runtime, 64), Blocks::new());
            let done = Arc::new(AtomicUsize::new(0));
            let read = |n| {
                let (read, done) = (blocks.clone().read(queue.clone(), n), done.clone());
                async move {
                    read.await;
                    done.fetch_add(1, SeqCst);
                }
            };
            // Half of them are waited for elsewhere: by threads that block on the same futures, and
            // by threads that have no future.
            let elsewhere: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let (queue, blocks, done) = (queue.clone(), blocks.clone(), done.clone());
                    thread::spawn(move || {
                        for n in 0..1250 {
                            if thread < 2 {
                                block_on(blocks.clone().read(queue.clone(), n));
                            } else {
                                blocks.read_in_thread(&queue, n);
                            }
                            done.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            let tasks: Vec<_> = (0..5_000).map(|n| runtime.spawn(read(n))).collect();
            runtime.block_on(async {
                while done.load(SeqCst) < 1000 {
                    yield_now().await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(20));
            for thread in elsewhere {
                thread.join().unwrap();
            }
            // Tasks end with their runtime: they have finished, or were dropped.
            drop(tasks);
            assert!(done.load(SeqCst) >= 5_000);
            blocks.assert_nothing_left(&queue);
        }
    });
}

#[test]
fn a_future_in_another_runtime_outlives_the_one_that_drove_it() {
    within(60, || {
        let (first, second) = (multi_thread(), current_thread());
        let queue = queue(&first, 2);
        let (reader, writer) = UnixStream::pair().unwrap();
        let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        second.block_on(async {
            let ready = tokio::spawn(ready);
            sleep(Duration::from_millis(10)).await;
            first.shutdown_background();
            sleep(Duration::from_millis(10)).await;
            (&writer).write_all(b"x").unwrap();
            assert!(ready.await.unwrap().unwrap().contains(PollEvents::IN));
        });
    });
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn nothing_spins_after_the_runtime_was_shut_down() {
    alone("nothing_spins_after_the_runtime_was_shut_down", || {
        let runtime = current_thread();
        let queue = queue(&runtime, 2);
        let (reader, _writer) = UnixStream::pair().unwrap();
        let never = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        let waits = runtime.spawn(never);
        runtime.block_on(yield_now());
        drop((waits, runtime));
        let before = cpu_time();
        thread::sleep(Duration::from_millis(500));
        let spent = cpu_time() - before;
        assert!(spent < Duration::from_millis(50), "{spent:?} of 500 ms");
    });
}

/// Reads of /dev/zero are over at once, so each `.await` is ready when it is polled.
#[test]
fn a_task_that_never_has_to_wait_lets_others_run() {
    within(60, || {
        let runtime = current_thread();
        let queue = queue(&runtime, 8);
        let zeros = Arc::new(File::open("/dev/zero").unwrap());
        let runs = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let greedy = |lanes: bool| {
                let (queue, zeros) = (queue.clone(), zeros.clone());
                tokio::spawn(async move {
                    let mut lane = queue.lane(1).unwrap();
                    loop {
                        let read = Op::read(vec![1; 8], 0);
                        if lanes {
                            common::submit(&mut lane, &*zeros, [(read, ())]);
                            lane.next().await.unwrap().1.into_result().unwrap();
                        } else {
                            let read = queue.submit(&zeros, read).unwrap();
                            read.await.into_result().unwrap();
                        }
                    }
                })
            };
            for lanes in [false, true] {
                let task = greedy(lanes);
                let start = runs.load(SeqCst);
                while runs.load(SeqCst) < start + 100 {
                    runs.fetch_add(1, SeqCst);
                    yield_now().await;
                }
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
    });
}

/// The budget is for what a task awaits.
#[test]
#[cfg_attr(aio_kernel = "threads", ignore = "reads of /dev/zero are over later")]
fn a_function_is_called_though_the_tasks_budget_is_used_up() {
    within(60, || {
        let runtime = current_thread();
        let queue = queue(&runtime, 2);
        let (reader, writer) = UnixStream::pair().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let counted = Arc::clone(&calls);
            let task = async move {
                let zeros = File::open("/dev/zero").unwrap();
                // tokio gives a task 128 turns.
                while tokio::task::coop::has_budget_remaining() {
                    let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                    read.await.into_result().unwrap();
                }
                let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
                let callback = ready.then(move |events| {
                    assert!(events.unwrap().contains(PollEvents::IN));
                    counted.fetch_add(1, SeqCst);
                });
                assert!(!callback.is_called());
                (&writer).write_all(b"x").unwrap();
                while !callback.is_called() {
                    yield_now().await;
                }
            };
            tokio::spawn(task).await.unwrap();
        });
        assert_eq!(calls.load(SeqCst), 1);
    });
}

/// The waker runs in the reactor, and ends what drives it.
#[test]
fn a_waker_may_drop_the_last_handle_of_the_queue() {
    within(60, || {
        for runtime in [current_thread(), multi_thread()] {
            let queue = queue(&runtime, 1);
            let (reader, writer) = UnixStream::pair().unwrap();
            let mut ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            let dropped = Arc::new(Flag::default());
            let set = Arc::clone(&dropped);
            let waker = Does::waker(
                move || {
                    drop(queue);
                    set.set();
                },
                || (),
            );
            assert!(poll_once(&mut ready, &waker).is_pending());
            (&writer).write_all(b"x").unwrap();
            runtime.block_on(async {
                while !ready.is_done() {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            dropped.wait();
            assert!(ready.try_take().is_ok());
        }
    });
}

#[test]
fn half_of_all_futures_may_be_dropped_at_random() {
    within(3000, || {
        for runtime in [current_thread(), multi_thread()] {
            let (queue, blocks) = (queue(&runtime, 8), Blocks::new());
            let rounds = futures() / 32;
            let mut finished = 0;
            let mut random = fastrand::Rng::with_seed(7);
            runtime.block_on(async {
                for _ in 0..rounds {
                    let mut tasks = JoinSet::new();
                    for _ in 0..16 {
                        let read = blocks.clone().read(queue.clone(), random.u64(..));
                        let drops = random.bool();
                        let patience = Duration::from_micros(random.u64(0..300));
                        tasks.spawn(async move {
                            if drops {
                                timeout(patience, read).await.is_ok()
                            } else {
                                read.await;
                                true
                            }
                        });
                    }
                    // Some tasks are dropped whole.
                    if random.u8(..) < 16 {
                        yield_now().await;
                        tasks.abort_all();
                    }
                    while let Some(task) = tasks.join_next().await {
                        finished += usize::from(task.unwrap_or(false));
                    }
                }
            });
            blocks.assert_nothing_left(&queue);
            assert!((rounds * 4..rounds * 16).contains(&finished), "{finished}");
        }
    });
}

#[test]
fn queues_that_are_dropped_leave_nothing_in_the_reactor() {
    alone(
        "queues_that_are_dropped_leave_nothing_in_the_reactor",
        || {
            let runtime = current_thread();
            let zeros = File::open("/dev/zero").unwrap();
            let mut counts = Vec::new();
            for _ in 0..20 {
                let queue = queue(&runtime, 4);
                let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                runtime.block_on(read).into_result().unwrap();
                drop(queue);
                counts.push(std::fs::read_dir("/proc/self/fd").unwrap().count());
            }
            assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        },
    );
}

#[test]
fn without_a_runtime_the_error_says_so() {
    let error = Queue::builder(1).driver(Driver::Tokio).build().unwrap_err();
    assert_eq!(error, SetupError::NoRuntime);
    assert!(
        error
            .to_string()
            .starts_with("there is no tokio runtime in this thread")
    );
}

#[test]
fn a_waiting_thread_needs_no_runtime_that_runs() {
    within(60, || {
        let runtime = current_thread();
        let (queue, blocks) = (queue(&runtime, 2), Blocks::new());
        let start = Instant::now();
        for n in 0..1000 {
            blocks.read_in_thread(&queue, n);
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        blocks.assert_nothing_left(&queue);
    });
}
