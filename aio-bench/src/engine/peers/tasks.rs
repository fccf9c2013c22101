//! The common part of the engines that run a task for each operation in flight.

use std::{cell::RefCell, ops::DerefMut, rc::Rc};

use anyhow::{Context, Result};

use crate::{
    pace::{Limit, Pace},
    timing::Timing,
    work::Work,
};

/// The state that the tasks of a turn share. All of them are on one thread.
pub(super) struct Shared<T> {
    work: Work,
    pace: Pace,
    timing: T,
    done: u64,
}

/// A task: does one operation after the other with one buffer, which it returns. `transfer` does
/// one operation at an offset, and returns what the kernel said.
pub(super) async fn task<T: Timing, B: DerefMut<Target = [u8]>>(
    shared: Rc<RefCell<Shared<T>>>,
    mut buffer: B,
    transfer: impl AsyncFn(B, u64) -> (i64, B),
) -> Result<B> {
    loop {
        let (offset, stamp) = {
            let shared = &mut *shared.borrow_mut();
            if shared.pace.grant(1) == 0 {
                return Ok(buffer);
            }
            let offset = shared.work.next(&mut buffer);
            (offset, shared.timing.submitted())
        };
        let result;
        (result, buffer) = transfer(buffer, offset).await;
        let shared = &mut *shared.borrow_mut();
        shared.timing.taken(stamp);
        shared.work.done(&mut buffer, offset, result)?;
        shared.done += 1;
    }
}

/// A runtime that runs tasks on this thread.
pub(super) trait Runtime<B> {
    /// Runs a task for each buffer until all have ended.
    fn run<T: Timing>(
        &self,
        shared: &Rc<RefCell<Shared<T>>>,
        buffers: Vec<B>,
        write: bool,
    ) -> Result<Vec<B>>;

    /// Makes all writes durable.
    fn sync(&self) -> Result<()>;
}

/// Runs a turn on a runtime.
pub(super) fn turn<T: Timing, B>(
    runtime: &impl Runtime<B>,
    work: &mut Work,
    buffers: &mut Vec<B>,
    pace: &mut Pace,
    timing: &mut T,
) -> Result<u64> {
    if !work.sync {
        return burst(runtime, work, buffers, pace, timing);
    }
    let mut done = 0;
    loop {
        let batch = pace.grant(work.depth) as u64;
        if batch == 0 {
            return Ok(done);
        }
        let mut batch = Pace::start(Limit::Operations(batch), false);
        done += burst(runtime, work, buffers, &mut batch, timing)?;
        runtime.sync()?;
    }
}

/// Runs the tasks until the pace grants nothing more.
fn burst<T: Timing, B>(
    runtime: &impl Runtime<B>,
    work: &mut Work,
    buffers: &mut Vec<B>,
    pace: &mut Pace,
    timing: &mut T,
) -> Result<u64> {
    let shared = Rc::new(RefCell::new(Shared {
        work: work.clone(),
        pace: pace.clone(),
        timing: timing.fork(),
        done: 0,
    }));
    *buffers = runtime.run(&shared, std::mem::take(buffers), work.write)?;
    let shared = Rc::into_inner(shared).context("a task is left over")?;
    let shared = shared.into_inner();
    *work = shared.work;
    *pace = shared.pace;
    timing.join(shared.timing);
    Ok(shared.done)
}
