//! Queues after fork and at the end of a process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use aio_safe::{
    Op,
    error::{CloseError, QueueError, ReapError},
};

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, same_bytes},
    },
    check, check_eq,
    env::Env,
    sys::fork::{exit_now, fork_beside_workers as fork},
};

const COUNT: usize = 32;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::forked_child_gets_errors",
        "a child's calls on its parent's queue are errors of their own",
        DIRECT,
        child_gets_errors,
    ),
    Case::new(
        "queue::forked_child_does_no_harm",
        "a child that drops queue and handles leaves the parent's operations alone",
        DIRECT,
        child_does_no_harm,
    ),
    Case::new(
        "queue::forked_child_makes_its_own",
        "a child may make a queue of its own",
        DIRECT,
        child_makes_its_own,
    ),
    Case::new(
        "queue::exit_in_flight",
        "writes in flight are done when their process has ended",
        DIRECT,
        exit_in_flight,
    ),
];

fn child_gets_errors(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let file = full_blocks(env, "queue-fork", 2)?;
    let read = queue.submit(&file, Op::read(empty(BLOCK)?, 0))?;
    fork(|| {
        let error = queue
            .submit(&file, Op::write(vec![1; 8], 0))
            .expect_err("not submitted");
        check_eq!(error.reason, QueueError::Forked);
        check_eq!(error.op.into_payload().into_buffer(), [1; 8]);
        let error = queue
            .batch()
            .push(&file, Op::fsync())
            .expect_err("not taken");
        check_eq!(error.reason, QueueError::Forked);
        check_eq!(queue.reap(0, None), Err(ReapError::Forked));
        check_eq!(
            queue.reap(1, Some(Duration::from_millis(1))),
            Err(ReapError::Forked)
        );
        check_eq!(queue.drain(), Err(CloseError::Forked));
        check_eq!(queue.clone().close(), Err(CloseError::Forked));
        Ok(())
    })?
    .succeeded()?;
    let read = read.wait();
    check_eq!(read.result, Ok(BLOCK));
    same_bytes(&read.buffer, &block(0))
}

fn child_does_no_harm(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-harm", COUNT)?;
    let mut reads = (0..COUNT)
        .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    let (child_queue, child_reads) = (queue.clone(), &mut reads);
    fork(move || {
        std::panic::set_hook(Box::new(|_| {}));
        // A child can't wait for an operation that wasn't done at the fork.
        for read in child_reads.drain(..) {
            let done = read.is_done();
            let waited = catch_unwind(AssertUnwindSafe(|| read.wait()));
            check!(
                done || waited.is_err(),
                "the child waited for an operation of its parent"
            );
        }
        drop(child_queue);
        Ok(())
    })?
    .succeeded()?;
    for (index, read) in reads.into_iter().enumerate() {
        let read = read.wait();
        check_eq!(read.result, Ok(BLOCK), "read of block {index}");
        same_bytes(&read.buffer, &block(index))?;
    }
    check_eq!(queue.stats().strays, 0);
    queue.close()?;
    Ok(())
}

fn child_makes_its_own(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let file = full_blocks(env, "queue-own", 2)?;
    fork(|| check_blocks(&env.queue(4)?, &file, 2))?.succeeded()?;
    check_blocks(&queue, &file, 2)
}

fn exit_in_flight(env: &Env) -> CaseResult {
    let file = blocks(env, "queue-exit", COUNT)?;
    fork(|| {
        let queue = env.queue(COUNT as u32)?;
        for index in 0..COUNT {
            let write = queue.submit(&file, Op::write(buffer(&block(index))?, offset(index)))?;
            std::mem::forget(write);
        }
        exit_now(0)
    })?
    .succeeded()?;
    check_blocks(&env.queue(1)?, &file, COUNT)
}
