//! One queue that several threads share.

use aio_safe::{Op, error::QueueError};

use crate::{
    case::{Case, CaseResult},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, same_bytes},
    },
    check_eq,
    env::{Env, Requirement},
};

const THREADS: usize = 4;
const EACH: usize = 32;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::shared_by_threads",
        "threads share a queue, each with its own blocks of a file",
        DIRECT,
        |env| shared(env, &blocks(env, "queue-shared", THREADS * EACH)?),
    ),
    Case::new(
        "queue::shared_on_a_disk",
        "threads share a queue, each with its own blocks of a disk",
        &[Requirement::Disk4096],
        |env| shared(env, &env.disk4096()?.open()?),
    ),
    Case::new(
        "queue::waited_for_elsewhere",
        "a thread can wait for operations that another one submitted",
        DIRECT,
        waited_for_elsewhere,
    ),
    Case::new(
        "queue::too_small_for_all",
        "threads that share a full queue all finish",
        DIRECT,
        too_small_for_all,
    ),
    Case::new(
        "queue::last_handle",
        "dropping the last handle closes the queue",
        DIRECT,
        last_handle,
    ),
];

fn shared(env: &Env, file: &std::fs::File) -> CaseResult {
    let queue = env.queue(THREADS as u32 * 4)?;
    let work = |thread: usize| -> CaseResult {
        for round in 0..EACH / 4 {
            let mine = (0..4).map(|n| thread * EACH + round * 4 + n);
            let writes = mine
                .clone()
                .map(|index| {
                    let write = Op::write(buffer(&block(index))?, offset(index));
                    Ok(queue.submit(file, write)?)
                })
                .collect::<CaseResult<Vec<_>>>()?;
            for write in writes {
                check_eq!(write.wait().result, Ok(BLOCK));
            }
            for index in mine {
                let read = queue
                    .submit(file, Op::read(empty(BLOCK)?, offset(index)))?
                    .wait();
                check_eq!(read.result, Ok(BLOCK));
                same_bytes(&read.buffer, &block(index))?;
            }
        }
        Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it doesn't panic"))
    })?;
    check_eq!(queue.stats().strays, 0);
    check_blocks(&queue, file, THREADS * EACH)
}

fn waited_for_elsewhere(env: &Env) -> CaseResult {
    let queue = env.queue(EACH as u32)?;
    let file = full_blocks(env, "queue-elsewhere", EACH)?;
    let reads = (0..EACH)
        .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    let waiter = std::thread::spawn(move || {
        reads
            .into_iter()
            .map(aio_safe::Pending::wait)
            .collect::<Vec<_>>()
    });
    for (index, read) in waiter
        .join()
        .expect("it doesn't panic")
        .into_iter()
        .enumerate()
    {
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

fn too_small_for_all(env: &Env) -> CaseResult {
    let queue = env.queue(2)?;
    let file = full_blocks(env, "queue-too-small", EACH)?;
    let work = || -> CaseResult {
        for index in 0..EACH {
            let mut op = Op::read(empty(BLOCK)?, offset(index));
            let read = loop {
                match queue.submit(&file, op) {
                    Ok(read) => break read.wait(),
                    Err(error) => {
                        check_eq!(error.reason, QueueError::QueueFull);
                        op = error.op;
                        std::thread::yield_now();
                    }
                }
            };
            check_eq!(read.result, Ok(BLOCK));
            same_bytes(&read.buffer, &block(index))?;
        }
        Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it doesn't panic"))
    })
}

fn last_handle(env: &Env) -> CaseResult {
    let file = blocks(env, "queue-last", THREADS)?;
    let queue = env.queue(THREADS as u32)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (queue, file) = (queue.clone(), &file);
                scope.spawn(move || -> CaseResult {
                    drop(queue.submit(file, Op::write(buffer(&block(index))?, offset(index)))?);
                    Ok(())
                })
            })
            .collect();
        drop(queue);
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it doesn't panic"))
    })?;
    check_blocks(&env.queue(1)?, &file, THREADS)
}
