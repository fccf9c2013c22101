//! `aio-safe-lane-future`: one task submits to a lane and awaits its results. Its thread reaps when
//! the task can't go on.

use std::{future::poll_fn, mem, os::fd::OwnedFd};

use aio_safe::Op;
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::{
        future::idle,
        lane::{Lanes, Turn, with_lanes},
    },
    executor::Executor,
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct LaneFuture<'a> {
    lanes: Lanes<'a, OwnedFd>,
    executor: Executor,
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    with_lanes(work, queue, |lanes| {
        then(&mut LaneFuture {
            lanes,
            executor: Executor::new(1),
        });
    })
}

async fn run<T: Timing>(turn: &mut Turn<'_, '_, T, OwnedFd>) -> Result<()> {
    loop {
        if turn.is_sync_due() {
            let lanes = &turn.lanes;
            lanes
                .queue
                .queue
                .submit(lanes.file, Op::fdatasync())?
                .await?;
        }
        if !turn.submit()? {
            return Ok(());
        }
        poll_fn(|context| turn.lane.poll_ready(context)).await;
        turn.take()?;
    }
}

impl Engine for LaneFuture<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let executor = mem::replace(&mut self.executor, Executor::new(0));
        let queue = self.lanes.queue;
        let mut turn = self.lanes.turn(pace, timing)?;
        let result = executor.run(&mut [Some(Box::pin(run(&mut turn)))], || idle(queue));
        self.executor = executor;
        result.map(|()| turn.done)
    }
}
