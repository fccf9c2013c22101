//! What is different on purpose where workers carry operations out: see `differs` for what isn't
//! true then.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    time::{Duration, Instant},
};

use aio_safe::{
    Errno, Op, OpError, Queue,
    error::{QueueError, SetupError},
    kernel::Threads,
    op::{CancelOutcome, PollEvents},
};

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, Limit, file, file_with, nr, same_bytes},
    },
    check, check_eq,
    env::{Env, Requirement},
    on::On,
    sys::{
        self,
        fork::{exit_now, fork},
    },
};

const COUNT: usize = 32;
/// Longer than a busy machine takes for anything here.
const PATIENCE: Duration = Duration::from_secs(20);
const CANCELLED: Result<usize, OpError> = Err(OpError::Failed(Errno::ECANCELED));

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::workers::empty_pipe",
        "submitting a read of an empty pipe doesn't wait, and keeps nothing else waiting",
        &[Requirement::Directory],
        empty_pipe,
    ),
    Case::new(
        "queue::workers::uncached_read",
        "a read of a file that isn't in the page cache is complete",
        &[Requirement::Directory],
        uncached_read,
    ),
    Case::new(
        "queue::workers::stream_in_order",
        "reads of a pipe get its data in the order of their submission",
        &[],
        stream_in_order,
    ),
    Case::new(
        "queue::workers::pipe_read_cancelled",
        "a read of an empty pipe can be cancelled, and then fails with ECANCELED",
        &[],
        pipe_read_cancelled,
    ),
    Case::new(
        "queue::workers::closed_with_reads",
        "closing a queue ends reads of empty pipes with ECANCELED",
        &[],
        closed_with_reads,
    ),
    Case::new(
        "queue::workers::transfers_cancelled",
        "a transfer that no worker has begun can be cancelled, and then changes nothing",
        DIRECT,
        transfers_cancelled,
    ),
    Case::new(
        "queue::workers::sync_is_last",
        "a sync is over after all writes that were submitted before it",
        DIRECT,
        sync_is_last,
    ),
    Case::new(
        "queue::workers::no_sigpipe",
        "a write to a pipe that nobody reads fails with EPIPE and sends no SIGPIPE",
        &[],
        no_sigpipe,
    ),
    Case::new(
        "queue::workers::no_descriptors",
        "without a free descriptor the kernel has no room, and nothing is lost",
        &[Requirement::Directory],
        no_descriptors,
    ),
    Case::new(
        "queue::workers::exit_in_flight",
        "writes that no worker has begun are never done when their process has ended",
        DIRECT,
        exit_in_flight,
    ),
    Case::new(
        "queue::workers::beyond_the_limit",
        "a queue beyond the system's limit works",
        &[Requirement::DirectIo, Requirement::Alone],
        beyond_the_limit,
    ),
];

fn empty_pipe(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    // Nobody else could write to it. If this waited, it would wait for ever.
    let read = queue.submit(&reader, Op::read(vec![0; 8], 0))?;
    let file = file(env, "queue-empty-pipe")?;
    let written = queue.submit(&file, Op::write("others", 0))?.wait();
    check_eq!(written.result, Ok(6));
    check!(!read.is_done(), "nothing was written to the pipe");
    writer.write_all(b"some")?;
    let read = read.wait();
    check_eq!(
        (read.result, &read.buffer[..4]),
        (Ok(4), b"some".as_slice())
    );
    Ok(())
}

fn uncached_read(env: &Env) -> CaseResult {
    const BLOCKS: usize = 16;
    let queue = env.queue(BLOCKS as u32)?;
    let content: Vec<u8> = (0..BLOCKS).flat_map(block).collect();
    let file = file_with(env, "queue-uncached", &content, 0)?;
    for _ in 0..20 {
        sys::fd::forget_pages(&file)?;
        let reads = (0..BLOCKS)
            .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
            .collect::<CaseResult<Vec<_>>>()?;
        for (index, read) in reads.into_iter().enumerate() {
            let read = read.wait();
            check_eq!(read.result, Ok(BLOCK), "read of block {index}");
            same_bytes(&read.buffer, &block(index))?;
        }
    }
    Ok(())
}

fn stream_in_order(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let reads = (0..COUNT)
        .map(|_| Ok(queue.submit(&reader, Op::read(vec![0; 1], 0))?))
        .collect::<CaseResult<Vec<_>>>()?;
    let bytes: Vec<u8> = (0..COUNT as u8).collect();
    writer.write_all(&bytes)?;
    for (read, byte) in reads.into_iter().zip(bytes) {
        check_eq!(read.wait().buffer, [byte]);
    }
    Ok(())
}

fn pipe_read_cancelled(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let mut first = queue.submit(&reader, Op::read(vec![7; 4], 0))?;
    let second = queue.submit(&reader, Op::read(vec![7; 4], 0))?;
    // A worker may just be looking whether there is data.
    let started = Instant::now();
    while first.cancel()? == CancelOutcome::NotCancellable {
        check!(started.elapsed() < PATIENCE, "it waits for data");
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = first.wait();
    check_eq!(first.result, CANCELLED);
    check_eq!(first.buffer, [7; 4], "nothing was read");
    writer.write_all(b"text")?;
    let second = second.wait();
    check_eq!(
        (second.result, &second.buffer[..]),
        (Ok(4), b"text".as_slice())
    );
    Ok(())
}

fn closed_with_reads(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let reads = (0..COUNT)
        .map(|_| Ok(queue.submit(&reader, Op::read(vec![7; 4], 0))?))
        .collect::<CaseResult<Vec<_>>>()?;
    queue.close()?;
    for read in reads {
        check_eq!(read.wait().result, CANCELLED);
    }
    Ok(())
}

fn transfers_cancelled(env: &Env) -> CaseResult {
    const LARGE: usize = 1 << 20;
    let one = NonZero::new(1).expect("it isn't 0");
    let queue = Queue::builder(COUNT as u32).build_on(Threads::with_limit(one))?;
    let file = blocks(env, "queue-cancelled", 0)?;
    let mut batch = queue.batch();
    for index in 0..COUNT {
        batch.push(&file, Op::write(empty(LARGE)?, (index * LARGE) as u64))?;
    }
    let mut writes = Vec::new();
    batch.submit(&mut writes)?;
    // The only worker is far from it.
    let mut last = writes.pop().expect("there is one");
    check_eq!(last.cancel(), Ok(CancelOutcome::Cancelled));
    check_eq!(last.wait().result, CANCELLED);
    for write in writes {
        check_eq!(write.wait().result, Ok(LARGE));
    }
    check_eq!(file.metadata()?.len(), ((COUNT - 1) * LARGE) as u64);
    Ok(())
}

fn sync_is_last(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32 + 1)?;
    let file = blocks(env, "queue-sync-is-last", COUNT)?;
    for _ in 0..20 {
        let writes = (0..COUNT)
            .map(|index| {
                let write = Op::write(buffer(&block(index))?, offset(index));
                Ok(queue.submit(&file, write)?)
            })
            .collect::<CaseResult<Vec<_>>>()?;
        queue.submit(&file, Op::fdatasync())?.wait()?;
        queue.reap(0, None)?;
        check!(writes.iter().all(aio_safe::Pending::is_done));
    }
    Ok(())
}

fn no_sigpipe(env: &Env) -> CaseResult {
    // Rust's runtime ignores it. With the default action it would end this process.
    sys::signal::default_sigpipe()?;
    let queue = env.queue(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    drop(reader);
    let write = queue.submit(&writer, Op::write("text", 0))?.wait();
    check_eq!(write.result, Err(OpError::Failed(Errno::EPIPE)));
    Ok(())
}

fn no_descriptors(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = file(env, "queue-no-descriptors")?;
    // Whatever the workers need once is there.
    check_eq!(
        queue.submit(&file, Op::write("text", 0))?.wait().result,
        Ok(4)
    );
    let mut all = Vec::new();
    while let Ok(null) = File::open("/dev/null") {
        all.push(null);
    }
    let refused = queue.submit(&file, Op::write("more", 4));
    let reason = refused.map_err(|error| error.reason).err();
    drop(all);
    check_eq!(reason, Some(QueueError::Again));
    check_eq!(queue.in_flight(), 0);
    check_eq!(
        queue.submit(&file, Op::write("more", 4))?.wait().result,
        Ok(4)
    );
    let mut text = String::new();
    File::open(env.directory()?.join("queue-no-descriptors"))?.read_to_string(&mut text)?;
    check_eq!(text, "textmore");
    Ok(())
}

fn exit_in_flight(env: &Env) -> CaseResult {
    let file = blocks(env, "queue-workers-exit", COUNT)?;
    fork(|| {
        let queue = env.queue(COUNT as u32)?;
        for index in 0..COUNT {
            let write = queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?;
            std::mem::forget(write);
        }
        exit_now(0)
    })?
    .succeeded()?;
    // What has begun may take a moment.
    std::thread::sleep(Duration::from_millis(100));
    let path = env.directory()?.join("queue-workers-exit");
    let content = std::fs::read(&path)?;
    for (index, got) in content.chunks(BLOCK).enumerate() {
        let whole = got == block(index) || got.iter().all(|byte| *byte == 0);
        check!(whole, "block {index} is neither the old nor the new one");
    }
    std::thread::sleep(Duration::from_millis(100));
    check!(
        content == std::fs::read(&path)?,
        "something was written after the end"
    );
    Ok(())
}

fn beyond_the_limit(env: &Env) -> CaseResult {
    let _limit = Limit::set(nr()? + 10)?;
    check!(matches!(
        On::Native.queue(11).err(),
        Some(SetupError::Limit { .. })
    ));
    let queue = env.queue(COUNT as u32)?;
    let ways = queue.ways().and_then(|ways| ways.without_native);
    let expected = (env.on == On::Hybrid).then_some(Errno::EAGAIN);
    check_eq!(ways, expected);
    let file = full_blocks(env, "queue-beyond", COUNT)?;
    check_blocks(&queue, &file, COUNT)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    writer.write_all(b"x")?;
    check!(poll.wait()?.contains(PollEvents::IN));
    queue.close()?;
    Ok(())
}
