//! The ways to a result: waiting, trying, reaping in a loop, awaiting, cancelling.

use std::{
    future::Future,
    io::Write,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Op,
    op::{CancelOutcome, PollEvents},
};

use crate::{
    case::{Case, CaseResult, Stop},
    cases::{
        queue::support::{DIRECT, block, blocks, buffer, check_blocks, empty, full_blocks, offset},
        support::{BLOCK, same_bytes},
    },
    check, check_eq,
    env::Env,
    sys,
};

const COUNT: usize = 32;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::looked_at",
        "a loop that reaps and tries each handle gets every result",
        DIRECT,
        looked_at,
    ),
    Case::new(
        "queue::reap_counts",
        "reap waits for the number of completions it was given, up to its timeout",
        DIRECT,
        reap_counts,
    ),
    Case::new(
        "queue::wait_with_a_timeout",
        "a wait that times out hands the handle back",
        &[],
        wait_with_a_timeout,
    ),
    Case::new(
        "queue::in_any_order",
        "handles can be waited for in any order",
        DIRECT,
        in_any_order,
    ),
    Case::new(
        "queue::awaited",
        "operations can be awaited while another thread reaps",
        DIRECT,
        awaited,
    ),
    Case::new(
        "queue::poll_cancelled",
        "a cancelled poll has no ready events",
        &[],
        poll_cancelled,
    ),
    Case::new(
        "queue::transfer_not_cancelled",
        "a transfer can't be cancelled, and completes",
        DIRECT,
        transfer_not_cancelled,
    ),
    Case::new("queue::signals", "signals don't end a wait", &[], signals),
];

fn looked_at(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-looked-at", COUNT)?;
    let mut waiting = (0..COUNT)
        .map(|index| {
            let read = queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?;
            Ok((index, read))
        })
        .collect::<CaseResult<Vec<_>>>()?;
    while !waiting.is_empty() {
        queue.reap(1, None)?;
        let mut rest = Vec::new();
        for (index, read) in waiting {
            match read.try_take() {
                Ok(read) => {
                    check_eq!(read.result, Ok(BLOCK), "read of block {index}");
                    same_bytes(&read.buffer, &block(index))?;
                }
                Err(read) => rest.push((index, read)),
            }
        }
        waiting = rest;
    }
    check_eq!(queue.in_flight(), 0);
    Ok(())
}

fn reap_counts(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-reap", COUNT)?;
    check_eq!(queue.reap(0, None), Ok(0));
    let started = Instant::now();
    check_eq!(queue.reap(1, Some(Duration::from_millis(30))), Ok(0));
    check!(
        started.elapsed() >= Duration::from_millis(30),
        "{:?}",
        started.elapsed()
    );
    let reads = (0..COUNT)
        .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(queue.reap(COUNT, None), Ok(COUNT));
    check!(reads.iter().all(aio_safe::Pending::is_done));
    Ok(())
}

fn wait_with_a_timeout(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    let started = Instant::now();
    let poll = match poll.wait_timeout(Duration::from_millis(30)) {
        Err(poll) => poll,
        Ok(events) => return Err(Stop::fail(format_args!("ready too early: {events:?}"))),
    };
    check!(
        started.elapsed() >= Duration::from_millis(30),
        "{:?}",
        started.elapsed()
    );
    writer.write_all(b"x")?;
    match poll.wait_timeout(Duration::from_secs(30)) {
        Ok(events) => check!(events?.contains(PollEvents::IN)),
        Err(_) => return Err(Stop::fail("not ready in time")),
    }
    Ok(())
}

fn in_any_order(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-order", COUNT)?;
    let mut reads = (0..COUNT)
        .map(|index| {
            Ok(Some(
                queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?,
            ))
        })
        .collect::<CaseResult<Vec<_>>>()?;
    for step in 0..COUNT {
        // 13 and COUNT have no common divisor, so each handle comes up once.
        let index = (COUNT - 1 + step * 13) % COUNT;
        let read = reads[index].take().expect("once each").wait();
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

/// A waker that unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future in this thread, which sleeps until the future's waker is called.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn awaited(env: &Env) -> CaseResult {
    let queue = env.queue(4)?;
    let file = blocks(env, "queue-awaited", COUNT)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reaper = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                queue.reap(1, Some(Duration::from_millis(5)))?;
            }
            Ok::<_, aio_safe::error::ReapError>(())
        });
        let result = block_on(async {
            for index in 0..COUNT {
                let write = Op::write(buffer(&block(index))?, offset(index));
                check_eq!(queue.submit(&file, write)?.await.result, Ok(BLOCK));
            }
            let first = queue.submit(&file, Op::read(empty(BLOCK)?, 0))?;
            let second = queue.submit(&file, Op::read(empty(BLOCK)?, offset(1)))?;
            same_bytes(&second.await.buffer, &block(1))?;
            same_bytes(&first.await.buffer, &block(0))
        });
        stop.store(true, Ordering::Relaxed);
        reaper.join().expect("it doesn't panic")?;
        result
    })?;
    check_blocks(&queue, &file, COUNT)
}

fn poll_cancelled(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let mut poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    check_eq!(poll.cancel(), Ok(CancelOutcome::Cancelled));
    check_eq!(poll.wait(), Ok(PollEvents::default()));
    Ok(())
}

fn transfer_not_cancelled(env: &Env) -> CaseResult {
    let queue = env.queue(COUNT as u32)?;
    let file = full_blocks(env, "queue-cancel", COUNT)?;
    let mut reads = (0..COUNT)
        .map(|index| Ok(queue.submit(&file, Op::read(empty(BLOCK)?, offset(index)))?))
        .collect::<CaseResult<Vec<_>>>()?;
    for read in &mut reads {
        let answer = read.cancel()?;
        check!(answer != CancelOutcome::Cancelled, "{answer:?}");
    }
    for (index, read) in reads.into_iter().enumerate() {
        let read = read.wait();
        check_eq!(read.result, Ok(BLOCK));
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}

fn signals(env: &Env) -> CaseResult {
    let queue = env.queue(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    sys::signal::count_alarms()?;
    sys::signal::start_alarms(Duration::from_millis(5))?;
    let events = std::thread::scope(|scope| {
        let _ = sys::signal::block_alarms(false);
        scope.spawn(move || {
            // Only the waiting thread must get the alarms.
            sys::signal::block_alarms(true)?;
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(b"x").map(|()| writer)
        });
        poll.wait()
    });
    sys::signal::stop_alarms()?;
    check!(events?.contains(PollEvents::IN));
    check!(sys::signal::alarms() >= 1);
    Ok(())
}
