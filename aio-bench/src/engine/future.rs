//! `aio-safe-future`: a task for each operation in flight. All tasks are on one thread, which reaps
//! when no task can go on.

use std::{cell::RefCell, time::Duration};

use aio_safe::{AlignedBuf, Op, Queue};
use anyhow::Result;

use super::{Engine, QueueOf, Use};
use crate::{
    engine::access::{Access, number},
    executor::Executor,
    pace::{Limit, Pace},
    timing::Timing,
    work::Work,
};

struct Futures<'a, F> {
    work: Work,
    queue: QueueOf<'a>,
    file: &'a F,
    buffers: Vec<AlignedBuf>,
    executor: Executor,
}

/// The state that the tasks share.
struct State<'t, T> {
    work: &'t mut Work,
    pace: &'t mut Pace,
    timing: &'t mut T,
    /// The buffers of tasks that have ended.
    buffers: Vec<AlignedBuf>,
    done: u64,
}

pub(super) fn set_up<F: Access>(work: Work, queue: QueueOf<'_>, then: Use<'_>) -> Result<()> {
    then(&mut Futures {
        file: &F::of(&work)?,
        buffers: work.buffers()?,
        executor: Executor::new(work.depth),
        work,
        queue,
    });
    Ok(())
}

/// Does one operation after the other, with one buffer.
async fn task<T: Timing, F: Access>(
    state: &RefCell<State<'_, T>>,
    queue: &Queue,
    file: &F,
    mut buffer: AlignedBuf,
) -> Result<()> {
    loop {
        let (write, offset, stamp) = {
            let state = &mut *state.borrow_mut();
            if state.pace.grant(1) == 0 {
                state.buffers.push(buffer);
                return Ok(());
            }
            let offset = state.work.next(&mut buffer);
            (state.work.write, offset, state.timing.submitted())
        };
        let outcome = file.submit(queue, write, buffer, offset)?.await;
        buffer = outcome.buffer;
        let state = &mut *state.borrow_mut();
        state.timing.taken(stamp);
        state
            .work
            .done(&mut buffer, offset, number(outcome.result))?;
        state.done += 1;
    }
}

impl<F: Access> Futures<'_, F> {
    /// Runs a task for each buffer until the pace grants nothing more.
    fn run<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let queue = self.queue;
        let file = self.file;
        let buffers = std::mem::take(&mut self.buffers);
        let state = RefCell::new(State {
            work: &mut self.work,
            pace,
            timing,
            buffers: Vec::with_capacity(buffers.len()),
            done: 0,
        });
        let task = |buffer| Some(Box::pin(task(&state, queue.queue, file, buffer)));
        let mut tasks: Vec<_> = buffers.into_iter().map(task).collect();
        self.executor.run(&mut tasks, || idle(queue))?;
        drop(tasks);
        let State { buffers, done, .. } = state.into_inner();
        self.buffers = buffers;
        Ok(done)
    }

    fn sync(&self) -> Result<()> {
        let sync = async { Ok(self.queue.queue.submit(self.file, Op::fdatasync())?.await?) };
        self.executor
            .run(&mut [Some(Box::pin(sync))], || idle(self.queue))
    }
}

/// Reaps. The executor calls it when no task can go on.
pub(super) fn idle(queue: QueueOf<'_>) -> Result<()> {
    // Another thread of the queue may have reaped this thread's last operation just now. Then no
    // event may come any more.
    let timeout = queue.shared.then_some(Duration::from_millis(1));
    queue.queue.reap(1, timeout)?;
    Ok(())
}

impl<F: Access> Engine for Futures<'_, F> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        if !self.work.sync {
            return self.run(pace, timing);
        }
        let mut done = 0;
        loop {
            let batch = pace.grant(self.work.depth) as u64;
            if batch == 0 {
                return Ok(done);
            }
            let mut batch = Pace::start(Limit::Operations(batch), false);
            done += self.run(&mut batch, timing)?;
            self.sync()?;
        }
    }
}
