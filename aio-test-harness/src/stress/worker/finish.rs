//! Finishes operations: each way to the result, and its check.

use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

use aio_safe::{
    BufResult, Errno, OpError, Pending,
    op::{CancelOutcome, FilePoll, Payload, PollEvents},
};

use super::Worker;
use crate::{
    on::On,
    stress::{
        buffer::Buffer,
        model::Abandoned,
        pattern::{self, BLOCK},
        plan::How,
        shared::Instance,
        watch::Phase,
        worker::{
            block_on::{block_on, poll_in_vain},
            held::{End, Handle, Held, Job, Line, Message, Task},
        },
    },
};

/// The number of waits with a timeout before one without.
const PATIENCE: usize = 50;

/// The result of what was cancelled before a worker began it.
const CANCELLED: OpError = OpError::Failed(Errno::ECANCELED);

impl Worker<'_> {
    /// Finishes an operation, or sends it to the thread that has to.
    pub(super) fn finish(&mut self, mut held: Held) {
        if let Some(to) = held.way.to.take() {
            let to = to as usize % self.ctx.threads;
            if to != self.number {
                // The receiver may wait for this poll in a drain or a close.
                held.fire();
                self.send(to, Message::Parcel(Box::new(held)));
                return;
            }
        }
        let Held {
            handle,
            job,
            way,
            instance,
        } = held;
        let end = self.end(handle, &job, way.how, Some(&instance));
        self.give_back(job, end);
    }

    /// Finishes all operations of this thread.
    pub(super) fn finish_all(&mut self) {
        self.fire_all();
        while let Some(held) = self.held.pop() {
            self.finish(held);
        }
    }

    /// Makes every poll of this thread ready, so that no thread waits for it while this one waits
    /// for that thread.
    pub(super) fn fire_all(&mut self) {
        self.held.iter_mut().for_each(Held::fire);
    }

    /// Tells the owner of the blocks what happened to them.
    pub(super) fn give_back(&mut self, job: Job, end: End) {
        if job.owner == self.number {
            self.take_back(&job, &end);
        } else if job.task.blocks().next().is_some() {
            self.send(job.owner, Message::Back(job, end));
        }
    }

    /// Updates the model of this thread's blocks.
    fn take_back(&mut self, job: &Job, end: &End) {
        for block in job.task.blocks() {
            self.model.set_busy(block, false);
            match end {
                End::Unchanged => {}
                End::Written(version) => self.model.written(block, *version),
                End::Abandoned(version, write) => self.model.abandoned(block, *version, write),
                End::Unsure => self.rewrite(block),
            }
        }
    }

    /// Finishes what other threads sent. Returns whether there was something.
    pub(super) fn read_messages(&mut self) -> bool {
        let mut any = false;
        while let Ok(message) = self.inbox.try_recv() {
            any = true;
            match message {
                Message::Parcel(held) => self.finish(*held),
                Message::Back(job, end) => self.take_back(&job, &end),
            }
        }
        any
    }

    /// Takes an operation to its end in this way.
    pub(super) fn end(
        &mut self,
        handle: Handle,
        job: &Job,
        how: How,
        instance: Option<&Arc<Instance>>,
    ) -> End {
        self.count.operations += 1;
        self.publish();
        match handle {
            Handle::One(pending) => match self.resolve(pending, how, instance) {
                Some(BufResult { result, mut buffer }) => {
                    let end = self.judge(job, result, std::slice::from_mut(&mut buffer));
                    self.buffers.push(buffer);
                    end
                }
                None => gone(job, instance),
            },
            Handle::Many(pending) => match self.resolve(pending, how, instance) {
                Some(BufResult { result, mut buffer }) => {
                    let end = self.judge(job, result, &mut buffer);
                    self.buffers.append(&mut buffer);
                    end
                }
                None => gone(job, instance),
            },
            Handle::Sync(pending) => {
                let result = self.resolve(pending, how, instance);
                let was_cancelled = std::mem::take(&mut self.was_cancelled);
                match (result, &job.task) {
                    (Some(Err(CANCELLED)), _) if was_cancelled => {}
                    (Some(Err(OpError::Refused(errno))), Task::Refused(expected))
                        if errno == *expected => {}
                    (Some(Ok(())), Task::Sync) if !was_cancelled => {}
                    (None, _) => {}
                    (Some(result), _) => self.fail(&format!("{result:?}, expected {job:?}")),
                }
                self.count.checks += 1;
                End::Unchanged
            }
            Handle::Poll(pending, line) => {
                self.end_poll(pending, line, job, how, instance);
                End::Unchanged
            }
        }
    }

    /// Takes a handle to its result, or abandons it.
    fn resolve<P: Payload>(
        &mut self,
        mut pending: Pending<P>,
        how: How,
        instance: Option<&Arc<Instance>>,
    ) -> Option<P::Output> {
        match how {
            How::Wait => {}
            How::TryTake(times) => {
                self.phase(Phase::TryTake);
                for _ in 0..times {
                    match pending.try_take() {
                        Ok(output) => return Some(output),
                        Err(back) => pending = back,
                    }
                    if let Some(instance) = instance {
                        // An error says that the queue was closed. The result will tell the same.
                        let _ = instance.queue.reap(0, None);
                    }
                }
            }
            How::WaitTimeout(micros) => {
                self.phase(Phase::WaitTimeout);
                for _ in 0..PATIENCE {
                    match pending.wait_timeout(Duration::from_micros(micros.into())) {
                        Ok(output) => return Some(output),
                        Err(back) => pending = back,
                    }
                }
            }
            // A future needs another thread that reaps: the service thread of a shared queue.
            How::Await | How::AwaitTwice if instance.is_some() => {
                self.phase(Phase::Await);
                if how == How::AwaitTwice {
                    if let Some(output) = poll_in_vain(&mut pending) {
                        return Some(output);
                    }
                }
                return Some(block_on(pending));
            }
            How::Await | How::AwaitTwice => {}
            How::Cancel => {
                self.phase(Phase::Cancel);
                match pending.cancel() {
                    Ok(CancelOutcome::NotCancellable | CancelOutcome::TooLate) => {}
                    // No worker has begun it.
                    Ok(CancelOutcome::Cancelled) if self.ctx.on != On::Native => {
                        self.was_cancelled = true;
                    }
                    other => self.fail(&format!("cancelling what can't be cancelled: {other:?}")),
                }
            }
            How::Drop => {
                self.phase(Phase::Drop);
                drop(pending);
                return None;
            }
            How::Forget => {
                if instance.is_some_and(|instance| instance.may_forget()) {
                    std::mem::forget(pending);
                    return None;
                }
                // The handle is dropped instead, because the buffer may carry a token.
                drop(pending);
                return None;
            }
        }
        self.phase(Phase::Wait);
        Some(pending.wait())
    }

    /// Compares a transfer's result with the expected one.
    pub(super) fn judge(
        &mut self,
        job: &Job,
        result: Result<usize, OpError>,
        buffers: &mut [Buffer],
    ) -> End {
        self.count.checks += 1;
        for buffer in buffers.iter_mut() {
            buffer.release();
        }
        let would_block = job.nowait
            && match result {
                Err(OpError::Failed(errno) | OpError::Refused(errno)) => {
                    errno == Errno::EAGAIN || errno == Errno::EOPNOTSUPP
                }
                Ok(_) => false,
            };
        if std::mem::take(&mut self.was_cancelled) {
            if result != Err(CANCELLED) {
                self.fail(&format!("{result:?} of what was cancelled: {job:?}"));
            }
            return End::Unchanged;
        }
        match (&job.task, result) {
            (Task::Read { first, len, expect }, Ok(n)) if n == len * BLOCK => {
                let blocks = buffers.iter().flat_map(|buffer| buffer.chunks(BLOCK));
                let mut wrong = Vec::new();
                for (n, bytes) in blocks.enumerate() {
                    let block = first.plus(n);
                    self.count.checks += 1;
                    if let Err(what) = pattern::check(bytes, self.ctx.seed, block.id(), expect[n]) {
                        wrong.push(format!("read of block {:#x}: {what}", block.id()));
                    }
                }
                for text in wrong {
                    self.fail(&text);
                }
                End::Unchanged
            }
            (Task::Write { len, version, .. }, Ok(n)) if n == len * BLOCK => End::Written(*version),
            // The transfer would have blocked before its start, or in the middle.
            (Task::Read { .. }, Ok(_)) if job.nowait => End::Unchanged,
            (Task::Write { .. }, Ok(_)) if job.nowait => End::Unsure,
            (Task::Read { .. }, Err(_)) if would_block => {
                self.count.would_block += 1;
                End::Unchanged
            }
            (Task::Write { .. }, Err(_)) if would_block => {
                self.count.would_block += 1;
                End::Unsure
            }
            (Task::Refused(expected), Err(OpError::Refused(errno))) if errno == *expected => {
                End::Unchanged
            }
            (Task::Failed(expected), Err(OpError::Failed(errno))) if errno == *expected => {
                End::Unchanged
            }
            (Task::Nothing, Ok(0)) => End::Unchanged,
            (task, result) => {
                self.fail(&format!("{result:?}, expected {task:?}"));
                match task {
                    Task::Write { .. } => End::Unsure,
                    _ => End::Unchanged,
                }
            }
        }
    }

    fn end_poll(
        &mut self,
        mut pending: Pending<FilePoll>,
        mut line: Line,
        job: &Job,
        how: How,
        instance: Option<&Arc<Instance>>,
    ) {
        self.count.checks += 1;
        let mut cancelled = false;
        let output = match (&job.task, how) {
            (Task::Poll, How::Cancel) => {
                self.phase(Phase::Cancel);
                match pending.cancel() {
                    Ok(CancelOutcome::Cancelled) => cancelled = true,
                    Ok(CancelOutcome::TooLate)
                        if line.fired || instance.is_some_and(|instance| instance.is_closing()) => {
                    }
                    other => {
                        self.fail(&format!(
                            "cancelling a poll ({}ready): {other:?}",
                            if line.fired { "" } else { "not " }
                        ));
                        line.fire();
                    }
                }
                self.phase(Phase::Wait);
                Some(pending.wait())
            }
            (Task::Poll, How::Drop) => {
                self.phase(Phase::Drop);
                drop(pending);
                None
            }
            (_, how) => {
                line.fire();
                let how = match how {
                    // It would be in flight for ever.
                    How::Forget | How::Cancel => How::Wait,
                    other => other,
                };
                self.resolve(pending, how, instance)
            }
        };
        // A queue that is closed cancels its polls, which then have no ready events.
        let may_be_nothing = cancelled || instance.is_some_and(|instance| instance.is_closing());
        match (output, &job.task) {
            (None, _) => {}
            (Some(Ok(events)), Task::Poll)
                if line.fired && events.contains(PollEvents::IN)
                    || may_be_nothing && events == PollEvents::default() => {}
            (Some(Err(OpError::Refused(errno))), Task::Refused(expected))
            | (Some(Err(OpError::Failed(errno))), Task::Failed(expected))
                if errno == *expected => {}
            (Some(result), task) => {
                self.fail(&format!(
                    "a poll ended with {result:?}, expected {task:?} (ready: {}, cancelled: \
                     {cancelled})",
                    line.fired
                ));
            }
        }
        if line.quench().is_ok() {
            self.lines.push(line);
        }
    }
}

/// What happens to the blocks of an abandoned operation.
pub(super) fn gone(job: &Job, instance: Option<&Arc<Instance>>) -> End {
    match &job.task {
        Task::Write { version, token, .. } => End::Abandoned(
            *version,
            Abandoned {
                token: token.clone().unwrap_or_default(),
                instance: instance.map(|instance| (Arc::clone(instance), instance.mark())),
            },
        ),
        _ => End::Unchanged,
    }
}

impl Held {
    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Makes a poll ready.
    fn fire(&mut self) {
        if let Handle::Poll(_, line) = &mut self.handle {
            line.fire();
        }
    }
}

impl Line {
    pub(super) fn fire(&mut self) {
        if !self.fired {
            self.fired = true;
            self.writer
                .write_all(b"!")
                .expect("there is room in the socket");
        }
    }

    /// Reads the byte that is there.
    fn quench(&mut self) -> std::io::Result<()> {
        if self.fired {
            self.reader.read_exact(&mut [0])?;
            self.fired = false;
        }
        Ok(())
    }
}
