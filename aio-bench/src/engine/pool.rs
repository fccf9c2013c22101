//! `aio-safe-pool`: tasks that use a [`File`] and take a buffer from a [`Pool`] for each operation.
//! There are twice as many tasks as buffers, so half of the tasks wait for a buffer.

use std::cell::RefCell;

use aio_safe::{Queue, buf::Pool, fs::File};
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::{
        access::{Access, number},
        future::idle,
    },
    executor::Executor,
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct Pooled<'a> {
    pool: Pool,
    executor: Executor,
    file: File,
    work: Work,
    queue: QueueOf<'a>,
}

/// The state that the tasks share.
struct State<'t, T> {
    work: &'t mut Work,
    pace: &'t mut Pace,
    timing: &'t mut T,
    done: u64,
}

pub(super) fn set_up(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut Pooled {
        pool: work.pool()?,
        executor: Executor::new(2 * work.depth),
        file: File::of(&work)?,
        work,
        queue,
    });
    Ok(())
}

/// Does one operation after the other.
async fn task<T: Timing>(
    state: &RefCell<State<'_, T>>,
    queue: &Queue,
    file: &File,
    pool: &Pool,
) -> Result<()> {
    loop {
        let mut buffer = pool.take().await;
        let (write, offset, stamp) = {
            let state = &mut *state.borrow_mut();
            if state.pace.grant(1) == 0 {
                return Ok(());
            }
            buffer.set_len(state.work.block);
            let offset = state.work.next(&mut buffer);
            (state.work.write, offset, state.timing.submitted())
        };
        let mut outcome = if write {
            file.write_at(queue, buffer, offset).await
        } else {
            file.read_at(queue, buffer, offset).await
        };
        let state = &mut *state.borrow_mut();
        state.timing.taken(stamp);
        let result = number(outcome.result);
        state.work.done(&mut outcome.buffer, offset, result)?;
        state.done += 1;
    }
}

impl Engine for Pooled<'_> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let tasks = 2 * self.work.depth;
        let queue = self.queue;
        let state = RefCell::new(State {
            work: &mut self.work,
            pace,
            timing,
            done: 0,
        });
        let task = || task(&state, queue.queue, &self.file, &self.pool);
        let mut tasks: Vec<_> = (0..tasks).map(|_| Some(Box::pin(task()))).collect();
        self.executor.run(&mut tasks, || idle(queue))?;
        drop(tasks);
        Ok(state.into_inner().done)
    }
}
