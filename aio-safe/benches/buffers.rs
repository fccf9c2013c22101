//! What the types of buffers cost: to make one, to put it in an operation, and to send it through a
//! queue.

mod common;

use std::{hint::black_box, sync::Arc, time::Duration};

use aio_safe::{AlignedBuf, Op, Queue, buf::IoBufExt, op::Transfer};
use common::Prompt;
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};

const LEN: usize = 4096;

fn aligned() -> AlignedBuf {
    AlignedBuf::zeroed(LEN, 4096).expect("little memory is needed")
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    group
}

/// Allocated and freed.
fn make(criterion: &mut Criterion) {
    let mut group = group(criterion, "make");
    group.bench_function("AlignedBuf", |b| b.iter(|| drop(black_box(aligned()))));
    group.bench_function("Vec, zeroed", |b| {
        b.iter(|| drop(black_box(vec![0_u8; LEN])));
    });
    group.bench_function("Vec, capacity alone", |b| {
        b.iter(|| drop(black_box(Vec::<u8>::with_capacity(LEN))));
    });
    group.finish();
}

/// Read to, through a queue, again and again.
fn read(criterion: &mut Criterion) {
    let mut group = group(criterion, "read");
    through(&mut group, "AlignedBuf", aligned(), |b| Op::read(b, 0));
    through(&mut group, "Vec", vec![0; LEN], |b| Op::read(b, 0));
    let boxed = vec![0; LEN].into_boxed_slice();
    through(&mut group, "Box<[u8]>", boxed, |b| Op::read(b, 0));
    let part = aligned().slice(512..1024);
    through(&mut group, "Slice<AlignedBuf>", part, |b| Op::read(b, 0));
    group.finish();
}

/// Written from, through a queue, again and again.
fn write(criterion: &mut Criterion) {
    let mut group = group(criterion, "write");
    through(&mut group, "AlignedBuf", aligned(), |b| Op::write(b, 0));
    through(&mut group, "Vec", vec![0; LEN], |b| Op::write(b, 0));
    let constant: &'static [u8] = &[0; LEN];
    through(&mut group, "&'static [u8]", constant, |b| Op::write(b, 0));
    let shared: Arc<[u8]> = vec![0; LEN].into();
    through(&mut group, "Arc<[u8]>", shared, |b| Op::write(b, 0));
    group.finish();
}

fn through<B: Send + 'static>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    buffer: B,
    op: impl Fn(B) -> Op<Transfer<B>>,
) {
    let queue = Queue::with_kernel(1, Prompt::new()).expect("this kernel has no limits");
    let file = std::io::stdin();
    let mut buffer = Some(buffer);
    group.bench_function(name, |b| {
        b.iter(|| {
            let op = op(buffer.take().expect("it came back"));
            let outcome = queue.submit(&file, op).expect("there is room").wait();
            assert!(outcome.result.is_ok());
            buffer = Some(outcome.buffer);
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for benchmark in [make, read, write] {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
