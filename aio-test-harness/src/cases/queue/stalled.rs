//! How long submitting takes while the device is busy: a disk that does a few requests a second,
//! and takes four at a time.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use aio_safe::{
    Op, Queue,
    fs::{File, OpenOptions},
};

use crate::{
    case::{Case, CaseResult, note},
    cases::{queue::support::empty, support::BLOCK},
    check, check_eq,
    env::{Env, Requirement},
    on::On,
};

/// How many reads are submitted.
const DEPTH: usize = 64;

/// The distance of two reads in bytes. The kernel would make one request of adjacent ones.
const APART: usize = 16 * BLOCK;

/// The time that the real kernel takes at least for all of them at once. All submissions of the
/// hybrid together take less than a quarter of what it does take. There is no limit on a single
/// one: an emulated processor may stand still for longer than the device takes for a request.
const SLOW: Duration = Duration::from_millis(500);

pub(super) const CASES: &[Case] = &[Case::new(
    "queue::stalled::submit",
    "submitting to a device whose queue is full doesn't wait",
    &[Requirement::SlowDisk],
    submit,
)];

fn submit(env: &Env) -> CaseResult {
    let disk = env.slow_disk()?;
    let name = disk.file_name().unwrap_or_default();
    let limit = Path::new("/sys/block").join(name).join("queue/nr_requests");
    fs::write(&limit, "4")?;
    check_eq!(fs::read_to_string(&limit)?.trim_end(), "4");
    let file = OpenOptions::new().read(true).open(disk)?;
    check!(file.is_direct());

    let queue = env.queue(DEPTH as u32)?;
    let mut times = Vec::new();
    let mut reads = Vec::new();
    for n in 0..DEPTH {
        let buffer = file.buffer(BLOCK)?;
        let started = Instant::now();
        // It is submitted when the future is made.
        let read = file.read_at(&queue, buffer, (n * APART) as u64);
        times.push(started.elapsed());
        reads.push(read);
    }
    for read in reads {
        check_eq!(read.wait().result, Ok(BLOCK));
    }
    let total: Duration = times.iter().sum();
    times.sort_unstable();
    let (median, longest) = (times[DEPTH / 2], times[DEPTH - 1]);
    let ways = queue.ways();
    queue.close()?;

    let native = On::Native.queue(DEPTH as u32)?;
    let took = native_batch(&native, &file)?;
    native.close()?;
    note(format_args!(
        "{DEPTH} submissions: median {median:?}, longest {longest:?}, together {total:?} \
         ({ways:?}); one io_submit of the real kernel: {took:?}"
    ));
    check!(took > SLOW, "the device isn't slow: {took:?}");
    check!(total < took / 4, "{total:?}, and natively {took:?}");
    Ok(())
}

/// Submits all reads together, as a program without the hybrid would. Returns how long that took.
fn native_batch(queue: &Queue, file: &File) -> CaseResult<Duration> {
    let mut batch = queue.batch();
    for n in 0..DEPTH {
        batch.push(file, Op::read(empty(BLOCK)?, ((DEPTH + n) * APART) as u64))?;
    }
    let mut reads = Vec::new();
    let started = Instant::now();
    batch.submit(&mut reads)?;
    let took = started.elapsed();
    for read in reads {
        check_eq!(read.wait().result, Ok(BLOCK));
    }
    Ok(took)
}
