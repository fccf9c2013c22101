//! The errors of a queue. Each hands the buffer back.

use std::fs::File;

use aio_safe::{
    Errno, Op, OpError, Queue, RwFlags,
    error::{QueueError, SetupError},
};

use crate::{
    case::{Case, CaseResult, Stop},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, Limit, file, nr, same_bytes},
    },
    check, check_eq,
    env::{Disk, Env, Requirement},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::depth_of_zero",
        "a queue of depth 0 is an error",
        &[],
        depth_of_zero,
    ),
    Case::new(
        "queue::limit",
        "a queue beyond the system's limit is an error that names the limit",
        &[Requirement::Alone],
        limit,
    ),
    Case::new(
        "queue::refused",
        "a refused operation hands its buffer back with EBADF",
        DIRECTORY,
        refused,
    ),
    Case::new(
        "queue::refused_flags",
        "an operation with unknown flags is refused with EOPNOTSUPP",
        DIRECTORY,
        refused_flags,
    ),
    Case::new(
        "queue::refused_sync",
        "a sync of a pipe is refused with EINVAL",
        &[],
        refused_sync,
    ),
    Case::new(
        "queue::refused_in_a_batch",
        "a batch with refused operations does all others",
        DIRECT,
        refused_in_a_batch,
    ),
    Case::new(
        "queue::all_of_a_batch_refused",
        "a batch of refused operations has a result for each",
        DIRECTORY,
        all_refused,
    ),
    Case::new(
        "queue::misaligned_512",
        "misaligned operations fail with EINVAL on a disk with 512-byte blocks",
        &[Requirement::Disk512],
        |env| misaligned(env, env.disk512()?),
    ),
    Case::new(
        "queue::misaligned_4096",
        "misaligned operations fail with EINVAL on a disk with 4096-byte blocks",
        &[Requirement::Disk4096],
        |env| misaligned(env, env.disk4096()?),
    ),
    Case::new(
        "queue::end_of_disk",
        "at the end of a disk reads are 0 and writes fail with ENOSPC",
        &[Requirement::Disk4096],
        end_of_disk,
    ),
    Case::new(
        "queue::full",
        "a full queue hands the operation back",
        &[],
        full,
    ),
    Case::new(
        "queue::full_of_results",
        "a result that wasn't taken keeps its slot",
        DIRECT,
        full_of_results,
    ),
    Case::new(
        "queue::batch_too_large",
        "a batch hands back the operations that don't fit",
        DIRECTORY,
        batch_too_large,
    ),
    Case::new(
        "queue::closed",
        "a closed queue hands the operation back",
        DIRECTORY,
        closed,
    ),
];

fn depth_of_zero(env: &Env) -> CaseResult {
    check_eq!(
        env.queue(0).err(),
        Some(SetupError::Depth {
            depth: 0,
            max: Queue::MAX_DEPTH
        })
    );
    Ok(())
}

fn limit(env: &Env) -> CaseResult {
    let taken = nr()?;
    let _limit = Limit::set(taken + 10)?;
    let error = match env.queue(11) {
        Err(error) => error,
        Ok(_) => return Err(Stop::fail("more than the limit")),
    };
    let limit = taken + 10;
    check_eq!(
        error,
        SetupError::Limit {
            depth: 11,
            used: Some(taken),
            limit: Some(limit)
        }
    );
    let text = error.to_string();
    check!(
        text.contains("fs.aio-max-nr") && text.contains(&limit.to_string()),
        "{text}"
    );
    env.queue(10)?;
    Ok(())
}

fn refused(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    file(env, "queue-refused")?;
    let read_only = File::open(env.directory()?.join("queue-refused"))?;
    let content = vec![7; 100];
    let address = content.as_ptr();
    let write = queue.submit(&read_only, Op::write(content, 0))?.wait();
    check_eq!(write.result, Err(OpError::Refused(Errno::EBADF)));
    check_eq!(
        (write.buffer.as_ptr(), write.buffer.len()),
        (address, 100),
        "the same buffer"
    );
    check_eq!(queue.in_flight(), 0);
    Ok(())
}

fn refused_flags(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let file = file(env, "queue-refused-flags")?;
    let unknown = RwFlags::from_bits_retain(1 << 30);
    let write = queue
        .submit(&file, Op::write("text", 0).rw_flags(unknown))?
        .wait();
    check_eq!(write.result, Err(OpError::Refused(Errno::EOPNOTSUPP)));
    check_eq!(file.metadata()?.len(), 0);
    Ok(())
}

fn refused_sync(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    check_eq!(
        queue.submit(&reader, Op::fsync())?.wait(),
        Err(OpError::Refused(Errno::EINVAL))
    );
    check_eq!(
        queue.submit(&reader, Op::fdatasync())?.wait(),
        Err(OpError::Refused(Errno::EINVAL))
    );
    Ok(())
}

fn refused_in_a_batch(env: &Env) -> CaseResult {
    const COUNT: usize = 16;
    let queue = env.queue(COUNT as u32)?;
    let file = blocks(env, "queue-part", COUNT)?;
    let read_only = File::open(env.directory()?.join("queue-part"))?;
    let is_refused = |index| [0, 5, 6, 15].contains(&index);
    let mut batch = queue.batch();
    for index in 0..COUNT {
        let file = if is_refused(index) { &read_only } else { &file };
        batch.push(file, Op::write(buffer(&block(index))?, offset(index)))?;
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles)?;
    check_eq!(handles.len(), COUNT);
    for (index, write) in handles.into_iter().enumerate() {
        let write = write.wait();
        let expected = if is_refused(index) {
            Err(OpError::Refused(Errno::EBADF))
        } else {
            Ok(BLOCK)
        };
        check_eq!(write.result, expected, "write of block {index}");
        same_bytes(&write.buffer, &block(index))?;
    }
    drop(batch);
    for index in (0..COUNT).filter(|index| !is_refused(*index)) {
        let read = queue
            .submit(&file, Op::read(empty(BLOCK)?, offset(index)))?
            .wait();
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

fn all_refused(env: &Env) -> CaseResult {
    let queue = env.queue(8)?;
    file(env, "queue-none")?;
    let read_only = File::open(env.directory()?.join("queue-none"))?;
    let mut batch = queue.batch();
    for index in 0..8u8 {
        batch.push(&read_only, Op::write(vec![index; 8], 0))?;
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles)?;
    for (index, write) in handles.into_iter().enumerate() {
        let write = write.wait();
        check_eq!(write.result, Err(OpError::Refused(Errno::EBADF)));
        check_eq!(write.buffer, [index as u8; 8]);
    }
    check_eq!(queue.in_flight(), 0);
    Ok(())
}

fn misaligned(env: &Env, disk: &Disk) -> CaseResult {
    let queue = env.queue(1)?;
    let file = disk.open()?;
    let size = disk.block_size as usize;
    let failed = Err(OpError::Failed(Errno::EINVAL));
    for (length, from) in [(size, 1), (size, size / 2), (size / 2, 0), (size + 1, 0)] {
        let read = queue
            .submit(&file, Op::read(empty(length)?, from as u64))?
            .wait();
        check_eq!(read.result, failed, "read of {length} bytes at {from}");
        check_eq!(read.buffer.len(), length);
        let write = queue
            .submit(&file, Op::write(empty(length)?, from as u64))?
            .wait();
        check_eq!(write.result, failed, "write of {length} bytes at {from}");
    }
    Ok(())
}

fn end_of_disk(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let disk = env.disk4096()?;
    let file = disk.open()?;
    let read = queue
        .submit(&file, Op::read(empty(BLOCK)?, disk.size))?
        .wait();
    check_eq!(read.result, Ok(0));
    let write = queue
        .submit(&file, Op::write(buffer(&block(1))?, disk.size))?
        .wait();
    check_eq!(write.result, Err(OpError::Failed(Errno::ENOSPC)));
    same_bytes(&write.buffer, &block(1))?;
    let last = disk.size - BLOCK as u64;
    let write = queue
        .submit(&file, Op::write(buffer(&block(2))?, last))?
        .wait();
    check_eq!(write.result, Ok(BLOCK));
    let read = queue
        .submit(&file, Op::read(empty(2 * BLOCK)?, last))?
        .wait();
    check_eq!(read.result, Ok(BLOCK), "across the end");
    same_bytes(&read.buffer[..BLOCK], &block(2))
}

fn full(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let polls = (0..4)
        .map(|_| Ok(queue.submit(&reader, Op::poll(aio_safe::op::PollEvents::IN))?))
        .collect::<CaseResult<Vec<_>>>()?;
    let content = vec![9; 32];
    let address = content.as_ptr();
    let error = match queue.submit(&writer, Op::write(content, 0)) {
        Err(error) => error,
        Ok(_) => return Err(Stop::fail("a fifth operation in a queue of four")),
    };
    check_eq!(error.reason, QueueError::QueueFull);
    let content = error.op.into_payload().into_buffer();
    check_eq!(
        (content.as_ptr(), &content[..]),
        (address, &[9; 32][..]),
        "the same buffer"
    );
    std::io::Write::write_all(&mut writer, b"x")?;
    for poll in polls {
        check!(poll.wait()?.contains(aio_safe::op::PollEvents::IN));
    }
    check_eq!(
        queue.submit(&writer, Op::write(content, 0))?.wait().result,
        Ok(32),
        "afterwards"
    );
    Ok(())
}

fn full_of_results(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = full_blocks(env, "queue-results", 3)?;
    let first = queue.submit(&file, Op::read(empty(BLOCK)?, 0))?;
    let second = queue.submit(&file, Op::read(empty(BLOCK)?, offset(1)))?;
    queue.drain()?;
    check_eq!(queue.in_flight(), 0);
    let third = queue.submit(&file, Op::read(empty(BLOCK)?, offset(2)));
    check_eq!(
        third.err().map(|error| error.reason),
        Some(QueueError::QueueFull)
    );
    for (index, read) in [first, second].into_iter().enumerate() {
        same_bytes(&read.wait().buffer, &block(index))?;
    }
    let third = queue.submit(&file, Op::read(empty(BLOCK)?, offset(2)))?;
    same_bytes(&third.wait().buffer, &block(2))
}

fn batch_too_large(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = file(env, "queue-too-large")?;
    let mut batch = queue.batch();
    batch.push(&file, Op::write("one ", 0))?;
    batch.push(&file, Op::write("two ", 4))?;
    let error = batch.push(&file, Op::write("more", 8)).err();
    check_eq!(error.map(|error| error.reason), Some(QueueError::QueueFull));
    let mut handles = Vec::new();
    batch.submit(&mut handles)?;
    for write in handles.drain(..) {
        check_eq!(write.wait().result, Ok(4));
    }
    batch.push(&file, Op::write("more", 8))?;
    batch.submit(&mut handles)?;
    check_eq!(handles.remove(0).wait().result, Ok(4));
    same_bytes(
        &std::fs::read(env.directory()?.join("queue-too-large"))?,
        b"one two more",
    )
}

fn closed(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let other = queue.clone();
    let file = blocks(env, "queue-closed", 1)?;
    let write = queue.submit(&file, Op::write(buffer(&block(0))?, 0))?;
    queue.close()?;
    check_eq!(
        write.wait().result,
        Ok(BLOCK),
        "what was in flight has its result"
    );
    let error = match other.submit(&file, Op::read(vec![3; 5], 0)) {
        Err(error) => error,
        Ok(_) => return Err(Stop::fail("an operation in a closed queue")),
    };
    check_eq!(error.reason, QueueError::Closed);
    check_eq!(error.op.into_payload().into_buffer(), [3; 5]);
    check_blocks(&env.queue(1)?, &file, 1)
}
