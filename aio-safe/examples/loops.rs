//! The shortest loop of each way to submit: one operation with a wait, futures, batches, lanes.
//!
//! Usage: `loops FILE`. It reads the file's first 4096 bytes over and over with direct I/O, and
//! prints how long an operation takes. On a disk that answers in 100 µs, `single` and `future`
//! take 7 s each. The figures are of one run on a machine that may do other things meanwhile:
//! `cargo xtask bench` measures properly.
//!
//! `cargo xtask frames` looks at the machine code of these loops: each holds the system call of
//! `io_submit` itself.

use std::{
    env,
    error::Error,
    fs::{File, OpenOptions},
    hint::black_box,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use aio_safe::{AlignedBuf, BufResult, Lane, Op, Queue, op::Transfer, queue::Driver};

const BLOCK: usize = 4096;
const DEPTH: usize = 32;
/// Operations in all.
const TOTAL: usize = 64 * 1024;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Submits an operation and waits for it.
#[inline(never)]
fn single(queue: &Queue, file: &File, mut block: AlignedBuf) -> Outcome {
    for _ in 0..TOTAL {
        let read = queue.submit(file, Op::read(block, 0))?;
        (_, block) = read.wait().into_result()?;
    }
    Ok(())
}

/// Submits an operation and awaits it.
async fn future(queue: &Queue, file: &File, mut block: AlignedBuf) -> Outcome {
    for _ in 0..TOTAL {
        let read = queue.submit(file, Op::read(block, 0))?;
        (_, block) = read.await.into_result()?;
    }
    Ok(())
}

/// Submits a batch, and waits for each operation of it.
#[inline(never)]
fn batch(queue: &Queue, file: &File, mut blocks: Vec<AlignedBuf>) -> Outcome {
    let mut batch = queue.batch();
    let mut reads = Vec::new();
    for _ in 0..TOTAL / DEPTH {
        for block in blocks.drain(..) {
            batch.push(file, Op::read(block, 0))?;
        }
        batch.submit(&mut reads)?;
        for read in reads.drain(..) {
            blocks.push(read.wait().into_result()?.1);
        }
    }
    Ok(())
}

/// Submits what a lane has room for, and takes the results that are there.
#[inline(never)]
fn lane(
    lane: &mut Lane<Transfer<AlignedBuf>>,
    file: &File,
    mut blocks: Vec<AlignedBuf>,
) -> Outcome {
    let mut done = 0;
    while done < TOTAL {
        let mut batch = lane.batch();
        for block in blocks.drain(..) {
            batch.push(file, Op::read(block, 0), ())?;
        }
        batch.submit()?;
        drop(batch);
        lane.wait_ready(None);
        while let Some(((), BufResult { result, buffer })) = lane.try_take() {
            result?;
            blocks.push(buffer);
            done += 1;
        }
    }
    Ok(())
}

/// Runs a future in this thread, which also reaps.
#[inline(never)]
fn block_on(queue: &Queue, mut future: Pin<&mut dyn Future<Output = Outcome>>) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
        queue.reap(1, None)?;
    }
}

fn timed(name: &str, run: impl FnOnce() -> Outcome) -> Outcome {
    let start = Instant::now();
    run()?;
    let each = start.elapsed().as_nanos() / TOTAL as u128;
    println!("{name:8} {each} ns for each operation");
    Ok(())
}

fn main() -> Outcome {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or("usage: loops FILE")?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    // `block_on` reaps.
    let queue = Queue::builder(DEPTH as u32)
        .driver(Driver::Caller)
        .build()?;
    let block = || AlignedBuf::zeroed(BLOCK, BLOCK);
    let blocks = || (0..DEPTH).map(|_| block()).collect::<Result<Vec<_>, _>>();

    timed("single", || single(&queue, &file, block()?))?;
    timed("future", || {
        // Black, so that the loop is a function of its own, as in an executor.
        block_on(&queue, black_box(pin!(future(&queue, &file, block()?))))
    })?;
    timed("batch", || batch(&queue, &file, blocks()?))?;
    let mut whole = queue.lane(DEPTH as u32)?;
    timed("lane", || lane(&mut whole, &file, blocks()?))
}
