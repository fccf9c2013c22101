//! Reads and writes with a queue: single ones, batches, many in flight. All contents are checked.

use std::{collections::VecDeque, fs::File};

use aio_safe::{
    AlignedBuf, Op, Pending, RwFlags,
    op::{IoPrio, IoPrioClass, Transfer},
};

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, offset},
        support::{BLOCK, file, file_with, pattern, same_bytes},
    },
    check, check_eq,
    env::{Env, Requirement},
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];
const SMALL: &[Requirement] = &[Requirement::Disk512];
const LARGE: &[Requirement] = &[Requirement::Disk4096];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::single_file",
        "single writes are read back from a file",
        DIRECT,
        |env| single(env, &blocks(env, "queue-single", 0)?),
    ),
    Case::new(
        "queue::single_512",
        "single writes are read back from a disk with 512-byte blocks",
        SMALL,
        |env| single(env, &env.disk512()?.open()?),
    ),
    Case::new(
        "queue::single_4096",
        "single writes are read back from a disk with 4096-byte blocks",
        LARGE,
        |env| single(env, &env.disk4096()?.open()?),
    ),
    Case::new(
        "queue::batch_file",
        "a batch's writes are read back by a batch from a file",
        DIRECT,
        |env| batch(env, &blocks(env, "queue-batch", 0)?),
    ),
    Case::new(
        "queue::batch_512",
        "a batch's writes are read back by a batch from a disk with 512-byte blocks",
        SMALL,
        |env| batch(env, &env.disk512()?.open()?),
    ),
    Case::new(
        "queue::batch_4096",
        "a batch's writes are read back by a batch from a disk with 4096-byte blocks",
        LARGE,
        |env| batch(env, &env.disk4096()?.open()?),
    ),
    Case::new(
        "queue::window_file",
        "a queue does many more operations than its depth, on a file",
        DIRECT,
        |env| window(env, &blocks(env, "queue-window", WINDOW)?),
    ),
    Case::new(
        "queue::window_512",
        "a queue does many more operations than its depth, on a disk with 512-byte blocks",
        SMALL,
        |env| window(env, &env.disk512()?.open()?),
    ),
    Case::new(
        "queue::window_4096",
        "a queue does many more operations than its depth, on a disk with 4096-byte blocks",
        LARGE,
        |env| window(env, &env.disk4096()?.open()?),
    ),
    Case::new(
        "queue::half_blocks",
        "operations of 512 bytes work on a disk with 512-byte blocks",
        SMALL,
        half_blocks,
    ),
    Case::new(
        "queue::buffered",
        "buffers of all types are written through the page cache",
        DIRECTORY,
        buffered,
    ),
    Case::new(
        "queue::vectored",
        "a vectored operation transfers several buffers",
        DIRECT,
        vectored,
    ),
    Case::new(
        "queue::short_read",
        "a read across the end of a file is short, and a read behind the end is 0",
        DIRECT,
        short_read,
    ),
    Case::new(
        "queue::syncs",
        "fsync and fdatasync succeed after a write",
        DIRECT,
        syncs,
    ),
    Case::new(
        "queue::flags_and_priority",
        "flags and priorities reach the kernel",
        DIRECT,
        flags_and_priority,
    ),
];

fn single(env: &Env, file: &File) -> CaseResult {
    let queue = env.queue(1)?;
    for index in [3, 0, 2, 1] {
        let write = queue
            .submit(file, Op::write(buffer(&block(index))?, offset(index)))?
            .wait();
        check_eq!(write.result, Ok(BLOCK), "write of block {index}");
        same_bytes(&write.buffer, &block(index))?;
    }
    check_blocks(&queue, file, 4)?;
    queue.close()?;
    Ok(())
}

fn batch(env: &Env, file: &File) -> CaseResult {
    const COUNT: usize = 32;
    let queue = env.queue(COUNT as u32)?;
    let mut handles = Vec::new();
    let mut writes = queue.batch();
    for index in 0..COUNT {
        writes.push(file, Op::write(buffer(&block(index))?, offset(index)))?;
    }
    writes.submit(&mut handles)?;
    check_eq!(handles.len(), COUNT);
    for (index, write) in handles.drain(..).enumerate() {
        check_eq!(write.wait().result, Ok(BLOCK), "write of block {index}");
    }
    drop(writes);
    let mut reads = queue.batch();
    for index in (0..COUNT).rev() {
        reads.push(file, Op::read(empty(BLOCK)?, offset(index)))?;
    }
    reads.submit(&mut handles)?;
    for (read, index) in handles.drain(..).zip((0..COUNT).rev()) {
        let read = read.wait();
        check_eq!(read.result, Ok(BLOCK), "read of block {index}");
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

const WINDOW: usize = 256;

/// Waits for the oldest handle when the queue is full.
fn window(env: &Env, file: &File) -> CaseResult {
    let queue = env.queue(16)?;
    let mut handles = VecDeque::new();
    for index in 0..WINDOW {
        if handles.len() == 16 {
            let oldest: Pending<Transfer<AlignedBuf>> = handles.pop_front().expect("16 of them");
            check_eq!(oldest.wait().result, Ok(BLOCK));
        }
        let write = Op::write(buffer(&block(index))?, offset(index));
        handles.push_back(queue.submit(file, write)?);
    }
    for write in handles {
        check_eq!(write.wait().result, Ok(BLOCK));
    }
    check_eq!(queue.in_flight(), 0);
    check_eq!(queue.stats().strays, 0, "no event belonged to no operation");

    let mut handles = VecDeque::new();
    for index in 0..WINDOW {
        if handles.len() == 16 {
            let (index, oldest): (usize, Pending<Transfer<AlignedBuf>>) =
                handles.pop_front().expect("16");
            let read = oldest.wait();
            check_eq!(read.result, Ok(BLOCK));
            same_bytes(&read.buffer, &block(index))?;
        }
        let read = Op::read(empty(BLOCK)?, offset(index));
        handles.push_back((index, queue.submit(file, read)?));
    }
    for (index, read) in handles {
        let read = read.wait();
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

fn half_blocks(env: &Env) -> CaseResult {
    let file = env.disk512()?.open()?;
    let queue = env.queue(8)?;
    let content = pattern(50, 8 * 512);
    let mut handles = Vec::new();
    for (index, part) in content.chunks(512).enumerate() {
        handles.push(queue.submit(&file, Op::write(buffer(part)?, 512 * index as u64))?);
    }
    for write in handles {
        check_eq!(write.wait().result, Ok(512));
    }
    let read = queue
        .submit(&file, Op::read(empty(content.len())?, 0))?
        .wait();
    check_eq!(read.result, Ok(content.len()));
    same_bytes(&read.buffer, &content)
}

fn buffered(env: &Env) -> CaseResult {
    let queue = env.queue(8)?;
    let file = file(env, "queue-buffered")?;
    let boxed: Box<[u8]> = b"boxed ".as_slice().into();
    check_eq!(
        queue
            .submit(&file, Op::write("a static string ", 0))?
            .wait()
            .result,
        Ok(16)
    );
    check_eq!(
        queue.submit(&file, Op::write(boxed, 16))?.wait().result,
        Ok(6)
    );
    check_eq!(
        queue
            .submit(&file, Op::write(String::from("owned"), 22))?
            .wait()
            .result,
        Ok(5)
    );
    let read = queue.submit(&file, Op::read(vec![0; 100], 0))?.wait();
    check_eq!(read.result, Ok(27));
    same_bytes(&read.buffer[..27], b"a static string boxed owned")
}

fn vectored(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = blocks(env, "queue-vectored", 0)?;
    let parts = (0..4)
        .map(|index| buffer(&block(index)))
        .collect::<CaseResult<Vec<_>>>()?;
    let write = queue.submit(&file, Op::write_vectored(parts, 0))?.wait();
    check_eq!(write.result, Ok(4 * BLOCK));
    let parts = (0..4)
        .map(|_| empty(BLOCK))
        .collect::<CaseResult<Vec<_>>>()?;
    let read = queue.submit(&file, Op::read_vectored(parts, 0))?.wait();
    check_eq!(read.result, Ok(4 * BLOCK));
    for (index, part) in read.buffer.iter().enumerate() {
        same_bytes(part, &block(index))?;
    }
    Ok(())
}

fn short_read(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let content = pattern(51, 6000);
    let file = file_with(env, "queue-short", &content, libc::O_DIRECT)?;
    for (from, length) in [(0, 6000), (4096, 1904), (8192, 0)] {
        let read = queue
            .submit(&file, Op::read(empty(2 * BLOCK)?, from as u64))?
            .wait();
        check_eq!(read.result, Ok(length), "at {from}");
        same_bytes(&read.buffer[..length], &content[from.min(6000)..])?;
    }
    Ok(())
}

fn syncs(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = blocks(env, "queue-syncs", 0)?;
    check_eq!(
        queue
            .submit(&file, Op::write(buffer(&block(0))?, 0))?
            .wait()
            .result,
        Ok(BLOCK)
    );
    check_eq!(queue.submit(&file, Op::fsync())?.wait(), Ok(()));
    check_eq!(queue.submit(&file, Op::fdatasync())?.wait(), Ok(()));
    check_blocks(&queue, &file, 1)
}

fn flags_and_priority(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = blocks(env, "queue-flags", 1)?;
    let append = Op::write(buffer(&block(1))?, 0).rw_flags(RwFlags::APPEND);
    check_eq!(queue.submit(&file, append)?.wait().result, Ok(BLOCK));
    check_eq!(file.metadata()?.len(), 2 * BLOCK as u64, "appended");
    let idle = IoPrio::new(IoPrioClass::IDLE, 0);
    let read = Op::read(empty(BLOCK)?, offset(1))
        .ioprio(idle)
        .rw_flags(RwFlags::HIPRI);
    let read = queue.submit(&file, read)?.wait();
    check_eq!(read.result, Ok(BLOCK));
    same_bytes(&read.buffer, &block(1))?;
    let wrong = Op::read(empty(BLOCK)?, 0).ioprio(IoPrio::new(IoPrioClass::INVALID, 0));
    let read = queue.submit(&file, wrong)?.wait();
    check!(read.result.is_err(), "an unknown class is refused");
    Ok(())
}
