//! Abandoned operations and queues: dropped, forgotten, or dropped while in flight.

use aio_safe::Op;

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, same_bytes},
    },
    check, check_eq,
    env::{Env, Requirement},
    sys,
};

const COUNT: usize = 32;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::abandoned_writes",
        "abandoned writes are done when drain returns",
        DIRECT,
        abandoned_writes,
    ),
    Case::new(
        "queue::abandoned_reads",
        "abandoned reads write to no memory that was freed",
        DIRECT,
        abandoned_reads,
    ),
    Case::new(
        "queue::abandoned_again_and_again",
        "abandoned operations free their slots",
        DIRECT,
        again_and_again,
    ),
    Case::new(
        "queue::forgotten",
        "forgotten handles keep their slots, and the queue works and closes",
        DIRECT,
        forgotten,
    ),
    Case::new(
        "queue::dropped_in_flight",
        "dropping a queue waits for everything in flight",
        DIRECT,
        dropped_in_flight,
    ),
    Case::new(
        "queue::dropped_on_a_disk",
        "dropping a queue waits for everything in flight on a disk",
        &[Requirement::Disk512],
        |env| dropped(env, &env.disk512()?.open()?),
    ),
    Case::new(
        "queue::results_outlive_it",
        "results can be taken after their queue was dropped",
        DIRECT,
        results_outlive_it,
    ),
    Case::new(
        "queue::file_closed_in_flight",
        "the file may be closed while operations are in flight",
        DIRECT,
        file_closed,
    ),
    Case::new(
        "queue::dropped_with_polls",
        "dropping a queue doesn't wait for polls",
        &[],
        dropped_with_polls,
    ),
    Case::new(
        "queue::batch_cleared",
        "clearing a batch submits nothing",
        DIRECT,
        batch_cleared,
    ),
];

fn abandoned_writes(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = blocks(env, "queue-abandoned", COUNT)?;
    for index in 0..COUNT {
        drop(queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?);
    }
    queue.drain()?;
    check_eq!(queue.in_flight(), 0);
    check_blocks(&queue, &file, COUNT)
}

fn abandoned_reads(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-abandoned-reads", COUNT)?;
    for _ in 0..10 {
        for index in 0..COUNT {
            drop(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?);
        }
        // If the queue had freed the buffer of an abandoned read, this would be its memory.
        let mine = (0..COUNT)
            .map(|_| buffer(&[0xee; BLOCK]))
            .collect::<CaseResult<Vec<_>>>()?;
        queue.drain()?;
        for memory in mine {
            check!(
                memory.iter().all(|byte| *byte == 0xee),
                "written by an abandoned read"
            );
        }
    }
    Ok(())
}

fn again_and_again(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let file = full_blocks(env, "queue-again", 1)?;
    for _ in 0..50 {
        for _ in 0..4 {
            drop(queue.submit(&file, Op::read(empty(BLOCK)?, 0))?);
        }
        queue.drain()?;
    }
    check_eq!(queue.stats().strays, 0);
    Ok(())
}

fn forgotten(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = blocks(env, "queue-forgotten", COUNT)?;
    for index in 0..COUNT - 1 {
        let write = queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?;
        std::mem::forget(write);
    }
    // One slot is left.
    for index in [COUNT - 1, 0] {
        let write = queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?;
        check_eq!(write.wait().result, Ok(BLOCK));
    }
    queue.close()?;
    check_blocks(&env.queue(1)?, &file, COUNT)
}

fn dropped(env: &Env, file: &std::fs::File) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    for index in 0..COUNT {
        let write = queue.submit(file, Op::write(buffer(&block(index))?, offset(index)))?;
        if index % 2 == 0 {
            drop(write);
        } else {
            std::mem::forget(write);
        }
    }
    drop(queue);
    check_blocks(&env.queue(1)?, file, COUNT)
}

fn dropped_in_flight(env: &Env) -> CaseResult {
    dropped(env, &blocks(env, "queue-dropped", COUNT)?)
}

fn results_outlive_it(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-outlive", COUNT)?;
    let reads = (0..COUNT)
        .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    drop(queue);
    for (index, read) in reads.into_iter().enumerate() {
        let read = read.wait();
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

fn file_closed(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = blocks(env, "queue-file-closed", COUNT)?;
    let writes = (0..COUNT)
        .map(|index| Ok(queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    drop(file);
    for write in writes {
        check_eq!(write.wait().result, Ok(BLOCK));
    }
    let file = std::fs::File::open(env.directory()?.join("queue-file-closed"))?;
    check_blocks(&queue, &file, COUNT)
}

fn dropped_with_polls(env: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    let queue = env.queue(8)?;
    let kept = queue.submit(&reader, Op::poll(aio_safe::op::PollEvents::IN))?;
    drop(queue.submit(&reader, Op::poll(aio_safe::op::PollEvents::IN))?);
    std::mem::forget(queue.submit(&reader, Op::poll(aio_safe::op::PollEvents::IN))?);
    drop(kept);
    drop(queue);
    Ok(())
}

fn batch_cleared(env: &Env) -> CaseResult {
    let queue = env.queue(8)?;
    let file = full_blocks(env, "queue-batch-cleared", 8)?;
    let mut batch = queue.batch();
    for index in 0..8 {
        batch.push(&file, Op::write(buffer(&[0; BLOCK])?, offset(index)))?;
    }
    batch.clear();
    drop(batch);
    check_eq!(queue.in_flight(), 0);
    check_blocks(&queue, &file, 8)
}
