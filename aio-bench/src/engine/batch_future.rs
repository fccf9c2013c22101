//! `aio-safe-batch-future`: one task submits batches and awaits all of their operations at once.
//! Its thread reaps when the task can't go on.

use std::{future::poll_fn, mem, os::fd::OwnedFd, pin::Pin, task::Poll};

use aio_safe::Op;
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::{
        batches::{self, Batches},
        future::idle,
    },
    executor::Executor,
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct BatchFutures<'a> {
    batches: Batches<'a, OwnedFd>,
    executor: Executor,
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    batches::set_up(work, queue, |batches| {
        then(&mut BatchFutures {
            batches,
            executor: Executor::new(1),
        });
    })
}

async fn run<T: Timing>(
    this: &mut Batches<'_, OwnedFd>,
    pace: &mut Pace,
    timing: &mut T,
) -> Result<u64> {
    let mut stamps: Vec<T::Stamp> = Vec::new();
    let mut done = 0;
    let mut unsynced = false;
    loop {
        if unsynced && this.handles.is_empty() {
            this.queue.queue.submit(this.file, Op::fdatasync())?.await?;
            unsynced = false;
        }
        // With a sync after each batch, the next batch begins when all operations are done.
        if this.handles.is_empty() || !this.work.sync {
            let n = pace.grant(this.room());
            if n > 0 {
                this.submit(n, timing, &mut stamps)?;
                unsynced = this.work.sync;
            }
        }
        if this.handles.is_empty() {
            return Ok(done);
        }
        done += poll_fn(|cx| {
            let taken = this.take(timing, &mut stamps, |mut handle| {
                match Pin::new(&mut handle).poll(cx) {
                    Poll::Ready(outcome) => Ok(outcome),
                    Poll::Pending => Err(handle),
                }
            });
            match taken {
                Ok(0) => Poll::Pending,
                taken => Poll::Ready(taken),
            }
        })
        .await?;
    }
}

impl Engine for BatchFutures<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let executor = mem::replace(&mut self.executor, Executor::new(0));
        let queue = self.batches.queue;
        let mut done = 0;
        let task = async {
            done = run(&mut self.batches, pace, timing).await?;
            Ok(())
        };
        let result = executor.run(&mut [Some(Box::pin(task))], || idle(queue));
        self.executor = executor;
        result.map(|()| done)
    }
}
