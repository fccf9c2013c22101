//! What the queue itself costs, on a kernel that completes everything at once: claiming and freeing
//! slots, reading the ring, and the whole way of an operation, alone, in batches and in lanes.

mod common;

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use aio_safe::{
    AlignedBuf, Lane, Op, Pending, Queue, lane::LaneBatch, op::Transfer, queue::Driver,
};
use common::Prompt;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};

const BATCHES: [usize; 4] = [1, 8, 32, 128];
const DEPTH: u32 = 128;

fn queue(kernel: Prompt) -> Queue {
    let builder = Queue::builder(DEPTH).driver(Driver::Caller);
    builder.build_on(kernel).expect("this kernel has no limits")
}

fn buffers(n: usize) -> Vec<AlignedBuf> {
    let buffer = |_| AlignedBuf::zeroed(512, 512).expect("little memory is needed");
    (0..n).map(buffer).collect()
}

/// Any file will do: the kernel doesn't look at it.
fn file() -> std::io::Stdin {
    std::io::stdin()
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    group
}

/// A slot is claimed and freed: with all others free, and with all but one taken.
fn slab(criterion: &mut Criterion) {
    let mut group = group(criterion, "claim and free");
    for depth in [32, 4096] {
        let queue = Queue::with_kernel(depth, Prompt::new()).expect("no limits");
        let claim = || queue.reserve().wait().expect("the queue is open");
        group.bench_function(BenchmarkId::new("empty", depth), |b| {
            b.iter(|| drop(claim()));
        });
        let taken: Vec<_> = (1..depth).map(|_| claim()).collect();
        group.bench_function(BenchmarkId::new("nearly full", depth), |b| {
            b.iter(|| drop(claim()));
        });
        drop(taken);
    }
    group.finish();
}

/// Operations are put in a batch and taken out again: slots are claimed together, and filled. A
/// lane has its slots.
fn fill(criterion: &mut Criterion) {
    let mut group = group(criterion, "push and pop");
    for n in BATCHES {
        let (queue, file) = (queue(Prompt::new()), file());
        let (mut batch, mut buffers) = (queue.batch(), buffers(n));
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("batch", n), |b| {
            b.iter(|| {
                for buffer in buffers.drain(..) {
                    batch
                        .push(&file, Op::read(buffer, 0))
                        .expect("there is room");
                }
                while let Some(op) = batch.pop() {
                    buffers.push(op.into_payload().into_buffer());
                }
            });
        });
        let mut lane = lane(&queue, n);
        group.bench_function(BenchmarkId::new("lane", n), |b| {
            b.iter(|| {
                let mut pushed = lane.batch();
                push(&mut pushed, &file, &mut buffers);
                while let Some((op, _)) = pushed.pop() {
                    buffers.push(op.into_payload().into_buffer());
                }
            });
        });
    }
    group.finish();
}

/// Completions are taken, and handed to their slots, or to a lane. Nobody waits for them.
fn reap(criterion: &mut Criterion) {
    let mut group = group(criterion, "reap");
    for (how, kernel) in [
        ("from the ring", Prompt::new as fn() -> Prompt),
        ("by the call", Prompt::by_call),
    ] {
        for n in BATCHES {
            let (queue, file) = (queue(kernel()), file());
            let (mut batch, mut buffers) = (queue.batch(), buffers(n));
            let mut handles = Vec::new();
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::new(how, n), |b| {
                b.iter_custom(|times| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        for buffer in buffers.drain(..) {
                            batch
                                .push(&file, Op::read(buffer, 0))
                                .expect("there is room");
                        }
                        batch.submit(&mut handles).expect("the queue is open");
                        let start = Instant::now();
                        let taken = queue.reap(1, None);
                        spent += start.elapsed();
                        assert_eq!(taken, Ok(n));
                        buffers.extend(handles.drain(..).map(take));
                    }
                    spent
                });
            });
            let mut lane = lane(&queue, n);
            group.bench_function(BenchmarkId::new(format!("{how}, to a lane"), n), |b| {
                b.iter_custom(|times| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        let mut pushed = lane.batch();
                        push(&mut pushed, &file, &mut buffers);
                        pushed.submit().expect("the queue is open");
                        drop(pushed);
                        // A turn of the reaper's has a limit.
                        while buffers.len() < n {
                            let start = Instant::now();
                            lane.wait_ready(None);
                            spent += start.elapsed();
                            take_all(&mut lane, &mut buffers);
                        }
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}

/// Submitted, reaped and taken: the whole way, in batches.
fn batches(criterion: &mut Criterion) {
    let mut group = group(criterion, "batch");
    for n in BATCHES {
        let (queue, file) = (queue(Prompt::new()), file());
        let (mut batch, mut buffers) = (queue.batch(), buffers(n));
        let mut handles = Vec::new();
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                for buffer in buffers.drain(..) {
                    batch
                        .push(&file, Op::read(buffer, 0))
                        .expect("there is room");
                }
                batch.submit(&mut handles).expect("the queue is open");
                queue.reap(1, None).expect("all are over");
                buffers.extend(handles.drain(..).map(take));
            });
        });
    }
    group.finish();
}

/// The same in a lane.
fn lanes(criterion: &mut Criterion) {
    let mut group = group(criterion, "lane");
    for n in BATCHES {
        let (queue, file) = (queue(Prompt::new()), file());
        let (mut lane, mut buffers) = (lane(&queue, n), buffers(n));
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                let mut pushed = lane.batch();
                push(&mut pushed, &file, &mut buffers);
                pushed.submit().expect("the queue is open");
                drop(pushed);
                while buffers.len() < n {
                    lane.wait_ready(None);
                    take_all(&mut lane, &mut buffers);
                }
            });
        });
    }
    group.finish();
}

/// A value goes with each operation, as programs have one: where it reads.
type Reads = Lane<Transfer<AlignedBuf>, u64>;

fn lane(queue: &Queue, n: usize) -> Reads {
    queue.lane(n as u32).expect("all slots are free")
}

fn push<'a>(
    batch: &mut LaneBatch<'a, Transfer<AlignedBuf>, u64>,
    file: &'a std::io::Stdin,
    buffers: &mut Vec<AlignedBuf>,
) {
    for buffer in buffers.drain(..) {
        batch
            .push(file, Op::read(buffer, 0), 0)
            .expect("there is room");
    }
}

fn take_all(lane: &mut Reads, buffers: &mut Vec<AlignedBuf>) {
    while let Some((_, outcome)) = lane.try_take() {
        assert_eq!(outcome.result, Ok(512));
        buffers.push(outcome.buffer);
    }
}

/// The whole way of one operation: waited for in a thread, and by a future.
fn singles(criterion: &mut Criterion) {
    let mut group = group(criterion, "single");
    let (queue, file) = (queue(Prompt::new()), file());
    let mut buffer = buffers(1).pop();
    let submit = |buffer: &mut Option<AlignedBuf>| -> Pending<Transfer<AlignedBuf>> {
        let buffer = buffer.take().expect("it came back");
        queue
            .submit(&file, Op::read(buffer, 0))
            .expect("there is room")
    };
    group.bench_function("wait", |b| {
        b.iter(|| buffer = Some(take(submit(&mut buffer))));
    });
    let mut context = Context::from_waker(Waker::noop());
    group.bench_function("future", |b| {
        b.iter(|| {
            let mut pending = submit(&mut buffer);
            assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
            queue.reap(1, None).expect("it is over");
            match Pin::new(&mut pending).poll(&mut context) {
                Poll::Ready(outcome) => buffer = Some(outcome.buffer),
                Poll::Pending => panic!("it was reaped"),
            }
        });
    });
    group.finish();
}

fn take(pending: Pending<Transfer<AlignedBuf>>) -> AlignedBuf {
    let outcome = pending.wait();
    assert_eq!(outcome.result, Ok(512));
    outcome.buffer
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for benchmark in [slab, fill, reap, batches, lanes, singles] {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
