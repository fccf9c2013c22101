//! The kernel whose requests threads carry out.

mod common;

use std::{
    io::{Read, Write},
    num::NonZero,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aio_safe::{
    Op, Queue,
    kernel::Threads,
    op::{CancelOutcome, PollEvents},
};
use aio_sys::Errno;
use common::pipe;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

const SECOND: Duration = Duration::from_secs(1);

fn queue(depth: u32) -> Queue {
    Queue::with_kernel(depth, Threads::new()).unwrap()
}

#[test]
fn what_was_written_is_read() -> Result {
    let file = tempfile::tempfile()?;
    let queue = queue(64);
    let block = |n: usize| vec![n as u8; 1000 + n];
    let writes: Vec<_> = (0..64)
        .map(|n| queue.submit(&file, Op::write(block(n), n as u64 * 4096)))
        .collect::<std::result::Result<_, _>>()?;
    for (n, write) in writes.into_iter().enumerate() {
        assert_eq!(write.wait().result?, 1000 + n);
    }
    let reads: Vec<_> = (0..64)
        .map(|n| {
            let parts = vec![Vec::with_capacity(500), Vec::with_capacity(500 + n)];
            queue.submit(&file, Op::read_vectored(parts, n as u64 * 4096))
        })
        .collect::<std::result::Result<_, _>>()?;
    for (n, read) in reads.into_iter().enumerate() {
        let done = read.wait();
        assert_eq!(done.result?, 1000 + n);
        assert_eq!(done.buffer.concat(), block(n));
    }
    Ok(())
}

#[test]
fn a_read_of_an_empty_pipe_blocks_nobody() -> Result {
    let (reader, mut writer) = pipe();
    let queue = queue(8);
    let start = Instant::now();
    // Each of them gets its own bytes, in the order of submission.
    let reads: Vec<_> = (0..8)
        .map(|_| queue.submit(&reader, Op::read(Vec::with_capacity(2), 0)))
        .collect::<std::result::Result<_, _>>()?;
    assert!(start.elapsed() < SECOND);
    drop(reader);
    writer.write_all(b"0011223344556677")?;
    for (n, read) in reads.into_iter().enumerate() {
        assert_eq!(read.wait().into_result()?.1, [b'0' + n as u8; 2]);
    }
    Ok(())
}

#[test]
fn a_write_to_a_full_pipe_goes_on_until_all_is_written() -> Result {
    let (mut reader, writer) = pipe();
    let queue = queue(8);
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let write = queue.submit(&writer, Op::write(data.clone(), 0))?;
    let parts = vec![data[..300_000].to_vec(), data[300_000..].to_vec()];
    let vectored = queue.submit(&writer, Op::write_vectored(parts, 0))?;
    drop(writer);
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen)?;
    assert!(seen == [&data[..], &data].concat());
    assert_eq!(write.wait().result?, data.len());
    assert_eq!(vectored.wait().result?, data.len());
    Ok(())
}

#[test]
fn appends_keep_their_order() -> Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log");
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(&path)?;
    let queue = queue(201);
    let writes: Vec<_> = (0..200)
        .map(|n| queue.submit(&file, Op::write(format!("{n}\n").into_bytes(), 0)))
        .collect::<std::result::Result<_, _>>()?;
    let sync = queue.submit(&file, Op::fdatasync())?;
    sync.wait()?;
    // The sync waited for all of them.
    assert!(writes.iter().all(|write| write.is_done() || {
        let _ = queue.reap(0, None);
        write.is_done()
    }));
    let lines: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(
        std::fs::read_to_string(path)?.lines().collect::<Vec<_>>(),
        lines
    );
    Ok(())
}

#[test]
fn what_waits_can_be_cancelled() -> Result {
    let (reader, mut writer) = pipe();
    let queue = queue(8);
    let mut first = queue.submit(&reader, Op::read(vec![0; 1], 0))?;
    let mut second = queue.submit(&reader, Op::read(vec![0; 1], 0))?;
    let third = queue.submit(&reader, Op::read(vec![0; 1], 0))?;
    let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    // The second waits for the first, which waits for the pipe.
    assert_eq!(second.cancel()?, CancelOutcome::Cancelled);
    // A worker may just be looking whether there is data.
    let started = Instant::now();
    while first.cancel()? == CancelOutcome::NotCancellable {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(poll.cancel()?, CancelOutcome::Cancelled);
    for read in [first, second] {
        assert_eq!(read.wait().result.unwrap_err().errno(), Errno::ECANCELED);
    }
    drop(poll);
    writer.write_all(b"x")?;
    assert_eq!(third.wait().buffer, *b"x");
    Ok(())
}

#[test]
fn a_poll_says_what_is_ready() -> Result {
    let (reader, writer) = pipe();
    let queue = queue(8);
    let to_read = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    let to_write = queue.submit(&writer, Op::poll(PollEvents::OUT))?;
    assert!(to_write.wait()?.contains(PollEvents::OUT));
    assert!(!to_read.is_done());
    (&writer).write_all(b"x")?;
    assert!(to_read.wait()?.contains(PollEvents::IN));
    let file = tempfile::tempfile()?;
    let regular = queue.submit(&file, Op::poll(PollEvents::IN))?;
    assert!(regular.wait()?.contains(PollEvents::IN));
    Ok(())
}

#[test]
fn a_queue_with_endless_reads_closes_at_once() -> Result {
    let pipes: Vec<_> = (0..20).map(|_| pipe()).collect();
    let queue = queue(400);
    let mut reads = Vec::new();
    for _ in 0..10 {
        for (reader, _) in &pipes {
            reads.push(queue.submit(reader, Op::read(vec![0; 8], 0))?);
            reads.push(queue.submit(reader, Op::read(vec![0; 8], 0))?);
        }
    }
    let start = Instant::now();
    queue.close()?;
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    for read in reads {
        assert_eq!(read.wait().result.unwrap_err().errno(), Errno::ECANCELED);
    }
    Ok(())
}

#[test]
fn workers_are_not_more_than_the_limit() -> Result {
    let (reader, writer) = pipe();
    let kernel = Threads::with_limit(NonZero::new(2).ok_or("2 isn't 0")?);
    let queue = Queue::with_kernel(64, kernel)?;
    let file = tempfile::tempfile()?;
    let mut all = Vec::new();
    for n in 0..30 {
        all.push(queue.submit(&file, Op::write(vec![1; 4096], n * 4096))?);
        all.push(queue.submit(reader.as_fd(), Op::read(vec![0; 1], 0))?);
    }
    (&writer).write_all(&[7; 30])?;
    for one in all {
        one.wait().result?;
    }
    Ok(())
}
