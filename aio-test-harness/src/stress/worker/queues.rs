//! The steps that use a queue as a whole.

use std::{sync::Arc, time::Duration};

use aio_safe::{
    Op, Queue,
    error::{CloseError, QueueError, ReapError, SetupError},
};

use super::Worker;
use crate::stress::{
    plan::{self, Ending, How},
    shared::Instance,
    watch::Phase,
    worker::held::{End, Handle, Job, Task},
};

impl Worker<'_> {
    pub(super) fn reap(&mut self, instance: &Arc<Instance>, min: usize, micros: u64) {
        self.phase(Phase::Reap);
        self.count.checks += 1;
        match instance
            .queue
            .reap(min, Some(Duration::from_micros(micros)))
        {
            Ok(_) | Err(ReapError::Interrupted) => {}
            Err(ReapError::Closed) if instance.is_closing() => {}
            Err(error) => self.fail(&format!("reaping: {error}")),
        }
    }

    /// Drains a queue while no thread submits to it.
    pub(super) fn drain(&mut self, instance: &Arc<Instance>) {
        self.phase(Phase::Drain);
        self.fire_all();
        let quiet = instance.quieten();
        let result = instance.drain();
        let in_flight = instance.queue.in_flight();
        drop(quiet);
        self.count.checks += 1;
        match result {
            Ok(()) if in_flight == 0 => {}
            Ok(()) => self.fail(&format!("{in_flight} in flight after a drain")),
            Err(error) => self.fail(&format!("a drain: {error}")),
        }
    }

    /// Replaces a queue by a new one, and closes it.
    pub(super) fn replace(&mut self, place: usize) {
        let Some(new) = self.set_up(self.ctx.places[place].get().queue.depth()) else {
            return;
        };
        let old = self.ctx.places[place].replace(new);
        self.phase(Phase::Close);
        self.fire_all();
        if let Err(error) = old.close() {
            self.fail(&format!("closing a queue: {error}"));
        }
        let strays = old.queue.stats().strays;
        if strays != 0 {
            self.fail(&format!("{strays} events belonged to no operation"));
        }
        let again = old.queue.clone().close();
        if again != Err(CloseError::Closed) {
            self.fail(&format!("closing a closed queue: {again:?}"));
        }
        let reaped = old.queue.reap(1, None);
        if reaped != Err(ReapError::Closed) {
            self.fail(&format!("reaping a closed queue: {reaped:?}"));
        }
        let submitted = old.queue.submit(&self.ctx.directory, Op::fsync());
        match submitted.map_err(|error| error.reason) {
            // All slots may be taken by results that nobody has taken.
            Err(QueueError::Closed) => {}
            other => self.fail(&format!("submitting to a closed queue: {other:?}")),
        }
        self.count.checks += 4;
    }

    fn set_up(&mut self, depth: u32) -> Option<Instance> {
        self.phase(Phase::Setup);
        match Instance::new(self.ctx.on, depth) {
            Ok(instance) => Some(instance),
            Err(SetupError::Limit { .. }) => {
                // Other processes use native AIO, too.
                self.count.no_queue += 1;
                None
            }
            Err(error) => {
                self.fail(&format!("making a queue: {error}"));
                None
            }
        }
    }

    /// Uses a queue that only this thread has.
    pub(super) fn own(&mut self, depth: u32, seed: u64, ending: Ending) {
        self.phase(Phase::Setup);
        // Closing the queue takes a while.
        self.fire_all();
        let queue = match self.ctx.on.queue(depth) {
            Ok(queue) => queue,
            Err(SetupError::Limit { .. }) => {
                self.count.no_queue += 1;
                return;
            }
            Err(error) => return self.fail(&format!("making a queue: {error}")),
        };
        let under_way = self.fill(&queue, seed, ending == Ending::AbandonThenClose);
        match ending {
            Ending::WaitFirst => {
                self.take_all(under_way);
                drop(queue);
            }
            Ending::CloseFirst => {
                self.phase(Phase::Close);
                if let Err(error) = queue.close() {
                    self.fail(&format!("closing the thread's own queue: {error}"));
                }
                self.check_done(&under_way);
                self.take_all(under_way);
            }
            Ending::DropFirst => {
                self.phase(Phase::Close);
                drop(queue);
                self.check_done(&under_way);
                self.take_all(under_way);
            }
            Ending::AbandonThenClose => {
                let jobs: Vec<Job> = under_way.into_iter().map(|(_, job)| job).collect();
                self.phase(Phase::Close);
                if let Err(error) = queue.close() {
                    self.fail(&format!("closing the thread's own queue: {error}"));
                }
                for job in jobs {
                    self.count.operations += 1;
                    let end = match &job.task {
                        // The write has landed, because the queue was closed.
                        Task::Write { version, .. } => End::Written(*version),
                        _ => End::Unchanged,
                    };
                    self.give_back(job, end);
                }
            }
        }
    }

    /// Fills the thread's own queue.
    fn fill(&mut self, queue: &Queue, seed: u64, to_be_left: bool) -> Vec<(Handle, Job)> {
        let mut under_way = Vec::new();
        for (mut transfer, _) in plan::batch(seed, queue.depth() as usize) {
            transfer.nowait = false;
            transfer.way.how = if to_be_left { How::Drop } else { How::Wait };
            let Some((job, mut buffers)) = self.prepare(&transfer, false) else {
                continue;
            };
            let Some(block) = job.task.blocks().next() else {
                continue;
            };
            let op = Self::op(&job, buffers.remove(0), block.offset());
            self.phase(Phase::Submitting);
            match queue.submit(&self.ctx.targets[block.target].file, op) {
                Ok(pending) => under_way.push((Handle::One(pending), job)),
                Err(error) => {
                    // The queue can't be full, because at most its depth was submitted.
                    if error.reason != QueueError::Again {
                        self.fail(&format!("submitting to the thread's own queue: {error}"));
                    }
                    self.unprepare(&job, [error.op.into_payload().into_buffer()]);
                }
            }
        }
        under_way
    }

    fn check_done(&mut self, under_way: &[(Handle, Job)]) {
        self.count.checks += 1;
        let done = |handle: &Handle| match handle {
            Handle::One(pending) => pending.is_done(),
            _ => true,
        };
        if !under_way.iter().all(|(handle, _)| done(handle)) {
            self.fail("an operation isn't done after its queue was closed or dropped");
        }
    }

    fn take_all(&mut self, under_way: Vec<(Handle, Job)>) {
        for (handle, job) in under_way {
            let end = self.end(handle, &job, How::Wait, None);
            self.give_back(job, end);
        }
    }
}
