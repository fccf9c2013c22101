//! The step that forks. In the child all handles return errors, and nothing changes for the parent.

#![allow(unsafe_code, reason = "forks beside other threads")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use aio_safe::{
    Op,
    error::{CloseError, QueueError, ReapError},
    op::Transfer,
};

use super::Worker;
use crate::{
    stress::{
        buffer::Buffer,
        shared::Instance,
        watch::Phase,
        worker::held::{Handle, Held},
    },
    sys::fork::{Forked, exit_now, fork_beside_threads},
};

/// The time limit of a child.
const LIMIT: Duration = Duration::from_secs(20);

impl Worker<'_> {
    pub(super) fn fork(&mut self, instance: &Arc<Instance>) {
        self.phase(Phase::Fork);
        self.count.checks += 1;
        // SAFETY: after fork a queue and its handles return errors and touch nothing that is
        // shared. Beside that the child uses only memory of this thread and a queue of its own, and
        // it ends by `exit_now`.
        let child = match unsafe { fork_beside_threads() } {
            Ok(Some(child)) => child,
            Ok(None) => {
                let held = std::mem::take(&mut self.held);
                let status = catch_unwind(AssertUnwindSafe(|| self.in_child(instance, held)));
                exit_now(status.unwrap_or(101));
            }
            Err(error) => return self.fail(&format!("fork: {error}")),
        };
        self.count.forks += 1;
        if let Err(what) = wait(&child) {
            self.fail(&format!("a forked child {what}"));
        }
    }

    /// Runs in the child, and returns its exit status. Only this thread exists there, and locks
    /// that other threads held stay locked.
    fn in_child(&self, instance: &Arc<Instance>, held: Vec<Held>) -> i32 {
        let queue = &instance.queue;
        let file = &self.ctx.targets[0].file;
        match queue
            .submit(file, Op::fsync())
            .map_err(|error| error.reason)
        {
            Err(QueueError::Forked) => {}
            _ => return 1,
        }
        let mut batch = queue.batch();
        match batch.push(file, Op::fsync()).map_err(|error| error.reason) {
            Err(QueueError::Forked) => {}
            _ => return 2,
        }
        drop(batch);
        match queue.lane::<Transfer<Buffer>, ()>(1) {
            Err(QueueError::Forked) => {}
            _ => return 10,
        }
        if queue.reap(1, None) != Err(ReapError::Forked) {
            return 3;
        }
        if queue.drain() != Err(CloseError::Forked) {
            return 4;
        }
        if queue.clone().close() != Err(CloseError::Forked) {
            return 5;
        }
        match queue.reserve().wait_timeout(Duration::from_secs(1)) {
            Err(QueueError::Forked) => {}
            _ => return 6,
        }
        for (n, mut held) in held.into_iter().enumerate() {
            let right = match &mut held.handle {
                Handle::One(pending) => pending.is_done() || pending.cancel().is_err(),
                Handle::Many(pending) => pending.is_done() || pending.cancel().is_err(),
                Handle::Sync(pending) => pending.is_done() || pending.cancel().is_err(),
                Handle::Poll(pending, _) => pending.is_done() || pending.cancel().is_err(),
            };
            if !right {
                return 7;
            }
            // Some handles are dropped, and some are forgotten.
            if n % 4 == 0 {
                std::mem::forget(held);
            } else {
                drop(held);
            }
        }
        // The child can use a queue of its own.
        let Ok(own) = self.ctx.on.queue(1) else {
            return 0;
        };
        let mut buffer = Buffer::new();
        buffer.resize(crate::stress::pattern::BLOCK);
        match own.submit(file, Op::read(buffer, 0)) {
            Ok(pending) => match pending.wait().result {
                Ok(crate::stress::pattern::BLOCK) => 0,
                _ => 9,
            },
            Err(_) => 8,
        }
    }
}

/// Waits for the child, and kills it when it takes too long.
fn wait(child: &Forked) -> Result<(), String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if started.elapsed() < LIMIT => std::thread::sleep(Duration::from_micros(200)),
            Ok(None) => {
                let _ = child.kill();
                return Err(format!("was still there after {} s", LIMIT.as_secs()));
            }
            Err(error) => return Err(format!("can't be waited for: {error}")),
        }
    }
}
