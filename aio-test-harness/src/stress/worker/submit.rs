//! The steps that submit operations.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, RwLockReadGuard},
    time::Duration,
};

use aio_safe::{
    Errno, Op, Pending, RwFlags, SubmitError,
    error::QueueError,
    op::{Payload, PollEvents},
};

use super::Worker;
use crate::{
    on::On,
    stress::{
        buffer::{Buffer, MOST, Token},
        pattern::{self, BLOCK, Expect},
        plan::{self, How, Refusal, Transfer, Way},
        shared::Instance,
        target::{Block, Target},
        watch::Phase,
        worker::held::{Handle, Held, Job, Line, Task},
    },
};

/// How long a thread waits for a slot at a time.
const SHORT: Duration = Duration::from_millis(2);

const PLAIN: Way = Way {
    how: How::Wait,
    to: None,
};

impl<'a> Worker<'a> {
    /// Submits until the queue takes the operation. Returns the operation when the run ends before.
    fn submit<P: Payload>(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        file: impl AsFd,
        mut op: Op<P>,
    ) -> Result<Pending<P>, Op<P>> {
        let mut full = false;
        loop {
            let result = if full && !self.has_slots(instance) {
                self.submit_reserved(instance, &file, op)
            } else {
                let _quiet = self.may_submit(instance);
                self.phase(Phase::Submitting);
                instance.queue.submit(&file, op)
            };
            let reason = match result {
                Ok(pending) => return Ok(pending),
                Err(SubmitError { reason, op: back }) => {
                    op = back;
                    reason
                }
            };
            full = reason == QueueError::QueueFull;
            if !self.recover(place, instance, reason) || self.ctx.is_over() {
                return Err(op);
            }
        }
    }

    /// Waits a short time for a slot and submits in it. Messages of other threads may be what fills
    /// the queue, so it doesn't wait long.
    fn submit_reserved<P: Payload>(
        &mut self,
        instance: &Arc<Instance>,
        file: impl AsFd,
        op: Op<P>,
    ) -> Result<Pending<P>, SubmitError<Op<P>>> {
        self.phase(Phase::Room);
        match instance.queue.reserve().wait_timeout(SHORT) {
            Ok(permit) => {
                let _quiet = self.may_submit(instance);
                self.phase(Phase::Submitting);
                permit.submit(file, op)
            }
            Err(reason) => Err(SubmitError { reason, op }),
        }
    }

    /// Waits until no thread drains the queue, and keeps it so.
    pub(super) fn may_submit<'i>(&mut self, instance: &'i Instance) -> RwLockReadGuard<'i, ()> {
        instance.try_permit().unwrap_or_else(|| {
            self.phase(Phase::Permit);
            self.fire_all();
            instance.permit()
        })
    }

    /// Waits for a slot without keeping it. Returns false when there was none for a while.
    pub(super) fn wait_for_room(&mut self, instance: &Arc<Instance>) -> bool {
        instance.queue.reserve().wait_timeout(SHORT).is_ok()
    }

    fn hold(&mut self, handle: Handle, job: Job, way: Way, instance: &Arc<Instance>) {
        self.held.push(Held {
            handle,
            job,
            way,
            instance: Arc::clone(instance),
        });
    }

    pub(super) fn job(&self, task: Task) -> Job {
        Job {
            owner: self.number,
            task,
            nowait: false,
        }
    }

    /// Chooses blocks and makes buffers for a transfer: one buffer for each block if `apart`, else
    /// one for all. Returns nothing when no blocks are free.
    pub(super) fn prepare(
        &mut self,
        transfer: &Transfer,
        apart: bool,
    ) -> Option<(Job, Vec<Buffer>)> {
        let Transfer {
            write, blocks: len, ..
        } = *transfer;
        let first = self.model.find(transfer.place, len, write)?;
        let (count, each) = if apart { (len, 1) } else { (1, len) };
        let mut buffers: Vec<Buffer> = (0..count).map(|_| self.buffer()).collect();
        for buffer in &mut buffers {
            buffer.resize(each * BLOCK);
        }
        let task = if write {
            let version = self.model.next_version();
            let seed = self.ctx.seed;
            let parts = buffers
                .iter_mut()
                .flat_map(|buffer| buffer.chunks_mut(BLOCK));
            for (n, part) in parts.enumerate() {
                pattern::fill(part, seed, first.plus(n).id(), version);
            }
            let token = given_up(transfer.way.how).then(Token::default);
            if let Some(token) = &token {
                buffers.iter_mut().for_each(|buffer| buffer.attach(token));
            }
            Task::Write {
                first,
                len,
                version,
                token,
            }
        } else {
            buffers.iter_mut().for_each(|buffer| pattern::spoil(buffer));
            let mut expect = [Expect::Only(0); MOST];
            for (n, expect) in expect.iter_mut().enumerate().take(len) {
                *expect = self.model.expect(first.plus(n));
            }
            Task::Read { first, len, expect }
        };
        for n in 0..len {
            self.model.set_busy(first.plus(n), true);
        }
        let job = Job {
            owner: self.number,
            task,
            nowait: transfer.nowait,
        };
        Some((job, buffers))
    }

    /// Undoes `prepare`, because nothing was submitted.
    pub(super) fn unprepare(&mut self, job: &Job, buffers: impl IntoIterator<Item = Buffer>) {
        for block in job.task.blocks() {
            self.model.set_busy(block, false);
        }
        for mut buffer in buffers {
            buffer.release();
            self.buffers.push(buffer);
        }
    }

    pub(super) fn target(&self, job: &Job) -> (&'a Target, u64) {
        let ctx = self.ctx;
        let block = job.task.blocks().next().unwrap_or(Block {
            target: 0,
            number: 0,
        });
        (&ctx.targets[block.target], block.offset())
    }

    /// The operation of a job with one buffer.
    pub(super) fn op(job: &Job, buffer: Buffer, offset: u64) -> Op<aio_safe::op::Transfer<Buffer>> {
        let op = match job.task {
            Task::Write { .. } => Op::write(buffer, offset),
            _ => Op::read(buffer, offset),
        };
        op.rw_flags(flags(job.nowait))
    }

    pub(super) fn single(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        transfer: &Transfer,
    ) {
        let transfer = tamed(transfer);
        let Some((job, mut buffers)) = self.prepare(&transfer, false) else {
            return;
        };
        let (target, offset) = self.target(&job);
        let op = Self::op(&job, buffers.remove(0), offset);
        match self.submit(place, instance, &target.file, op) {
            Ok(pending) => self.hold(Handle::One(pending), job, transfer.way, instance),
            Err(op) => self.unprepare(&job, [op.into_payload().into_buffer()]),
        }
    }

    pub(super) fn vectored(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        transfer: &Transfer,
    ) {
        let transfer = tamed(transfer);
        let Some((job, buffers)) = self.prepare(&transfer, true) else {
            return;
        };
        let (target, offset) = self.target(&job);
        let op = match job.task {
            Task::Write { .. } => Op::write_vectored(buffers, offset),
            _ => Op::read_vectored(buffers, offset),
        };
        let op = op.rw_flags(flags(job.nowait));
        match self.submit(place, instance, &target.file, op) {
            Ok(pending) => self.hold(Handle::Many(pending), job, transfer.way, instance),
            Err(op) => self.unprepare(&job, op.into_payload().into_buffers()),
        }
    }

    pub(super) fn batch(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        seed: u64,
        count: usize,
    ) {
        // The batch borrows this instance, and `recover` may replace `instance`.
        let this = Arc::clone(instance);
        let ctx = self.ctx;
        let mut batch = this.queue.batch();
        let mut jobs = Vec::new();
        for (transfer, refused) in plan::batch(seed, count) {
            let transfer = tamed(&transfer);
            let Some((mut job, mut buffers)) = self.prepare(&transfer, false) else {
                continue;
            };
            let (target, mut offset) = self.target(&job);
            let mut buffer = buffers.remove(0);
            if refused {
                self.unprepare(&job, None);
                buffer.release();
                offset = 1 << 63;
                job = self.job(Task::Refused(Errno::EINVAL));
            }
            match batch.push(
                &ctx.targets[index(ctx, target)].file,
                Self::op(&job, buffer, offset),
            ) {
                Ok(()) => jobs.push((job, transfer.way)),
                Err(SubmitError { op, .. }) => {
                    // The queue is full or closed. The batch is submitted as it is.
                    self.count.full += 1;
                    self.unprepare(&job, [op.into_payload().into_buffer()]);
                    break;
                }
            }
        }
        let mut handles = Vec::new();
        loop {
            let result = {
                let _quiet = self.may_submit(&this);
                self.phase(Phase::Submitting);
                batch.submit(&mut handles)
            };
            match result {
                Ok(()) => break,
                Err(reason) => {
                    let goes_on = self.recover(place, instance, reason) && !self.ctx.is_over();
                    if !goes_on || !Arc::ptr_eq(instance, &this) {
                        break;
                    }
                }
            }
        }
        // Takes back what a closed queue didn't take, from the last one on.
        while let Some(op) = batch.pop() {
            match jobs.pop() {
                Some((job, _)) => self.unprepare(&job, [op.into_payload().into_buffer()]),
                None => self.fail("a batch handed back more operations than were pushed"),
            }
        }
        if handles.len() != jobs.len() {
            let (handles, jobs) = (handles.len(), jobs.len());
            self.fail(&format!("a batch of {jobs} gave {handles} handles"));
        }
        for (pending, (job, way)) in handles.into_iter().zip(jobs) {
            self.hold(Handle::One(pending), job, way, &this);
        }
    }

    pub(super) fn sync(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        data_only: bool,
        way: Way,
    ) {
        let op = if data_only {
            Op::fdatasync()
        } else {
            Op::fsync()
        };
        let ctx = self.ctx;
        let file = &ctx.targets[place % ctx.targets.len()].file;
        if let Ok(pending) = self.submit(place, instance, file, op) {
            let job = self.job(Task::Sync);
            self.hold(Handle::Sync(pending), job, way, instance);
        }
    }

    fn line(&mut self) -> Line {
        self.lines.pop().unwrap_or_else(|| {
            let (reader, writer) = UnixStream::pair().expect("a pair of sockets");
            Line {
                reader,
                writer,
                fired: false,
            }
        })
    }

    pub(super) fn poll(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        ready: bool,
        way: Way,
    ) {
        let mut line = self.line();
        if ready {
            line.fire();
        }
        let Ok(reader) = line.reader.try_clone() else {
            return self.fail("no descriptor for a socket");
        };
        if let Ok(pending) = self.submit(place, instance, reader, Op::poll(PollEvents::IN)) {
            let job = self.job(Task::Poll);
            self.hold(Handle::Poll(pending, line), job, way, instance);
        }
    }

    /// Submits an operation that is refused or fails.
    pub(super) fn refused(&mut self, place: usize, instance: &mut Arc<Instance>, refusal: Refusal) {
        let ctx = self.ctx;
        let target = &ctx.targets[place % ctx.targets.len()];
        let mut buffer = self.buffer();
        buffer.resize(BLOCK);
        let (errno, handle) = match refusal {
            Refusal::SyncOfSocket => {
                self.buffers.push(buffer);
                let line = self.line();
                let pending = self.submit(place, instance, &line.reader, Op::fsync());
                self.lines.push(line);
                (Errno::EINVAL, pending.map(Handle::Sync).map_err(drop))
            }
            Refusal::PollOfFile => {
                self.buffers.push(buffer);
                let line = self.line();
                // A regular file is always ready for reads and writes, and never for anything else.
                let op = Op::poll(PollEvents::PRI);
                let pending = self.submit(place, instance, &target.file, op);
                (
                    Errno::EINVAL,
                    pending
                        .map(|pending| Handle::Poll(pending, line))
                        .map_err(drop),
                )
            }
            Refusal::Misaligned => {
                if !target.aligned_only {
                    self.buffers.push(buffer);
                    return;
                }
                let pending = self.submit(place, instance, &target.file, Op::read(buffer, 1));
                if let Ok(pending) = pending {
                    let job = self.job(Task::Failed(Errno::EINVAL));
                    self.hold(Handle::One(pending), job, PLAIN, instance);
                }
                return;
            }
            Refusal::NegativeOffset => {
                let op = Op::read(buffer, 1 << 63);
                let pending = self.submit(place, instance, &target.file, op);
                (Errno::EINVAL, pending.map(Handle::One).map_err(drop))
            }
            Refusal::WriteToReadOnly => {
                let op = Op::write(buffer, 0);
                let pending = self.submit(place, instance, &target.read_only, op);
                (Errno::EBADF, pending.map(Handle::One).map_err(drop))
            }
            Refusal::ReadOfDirectory => {
                let op = Op::read(buffer, 0);
                let pending = self.submit(place, instance, &ctx.directory, op);
                (Errno::EINVAL, pending.map(Handle::One).map_err(drop))
            }
            Refusal::PathOnly => {
                let op = Op::read(buffer, 0);
                let pending = self.submit(place, instance, &ctx.path_only, op);
                (Errno::EBADF, pending.map(Handle::One).map_err(drop))
            }
            Refusal::UnknownFlag => {
                let op = Op::read(buffer, 0).rw_flags(RwFlags::from_bits_retain(1 << 30));
                let pending = self.submit(place, instance, &target.file, op);
                (Errno::EOPNOTSUPP, pending.map(Handle::One).map_err(drop))
            }
        };
        let Ok(handle) = handle else { return };
        let done = match &handle {
            Handle::One(pending) => pending.is_done(),
            Handle::Many(pending) => pending.is_done(),
            Handle::Sync(pending) => pending.is_done(),
            Handle::Poll(pending, _) => pending.is_done(),
        };
        // Only a worker finds out that a file can't be polled.
        let is_late = refusal == Refusal::PollOfFile && ctx.on == On::Threads;
        if !done && !is_late {
            self.fail(&format!("{refusal:?} isn't done at once"));
        }
        let job = self.job(if is_late {
            Task::Failed(errno)
        } else {
            Task::Refused(errno)
        });
        self.end(handle, &job, How::TryTake(1), Some(instance));
    }

    /// Submits a transfer of no bytes.
    pub(super) fn empty(
        &mut self,
        place: usize,
        instance: &mut Arc<Instance>,
        write: bool,
        vectored: bool,
    ) {
        let ctx = self.ctx;
        let file = &ctx.targets[place % ctx.targets.len()].file;
        let handle = if vectored {
            let op = if write {
                Op::write_vectored(Vec::<Buffer>::new(), 0)
            } else {
                Op::read_vectored(Vec::<Buffer>::new(), 0)
            };
            self.submit(place, instance, file, op)
                .map(Handle::Many)
                .map_err(drop)
        } else {
            let mut buffer = self.buffer();
            buffer.resize(0);
            let op = if write {
                Op::write(buffer, 0)
            } else {
                Op::read(buffer, 0)
            };
            self.submit(place, instance, file, op)
                .map(Handle::One)
                .map_err(drop)
        };
        if let Ok(handle) = handle {
            let job = self.job(Task::Nothing);
            self.hold(handle, job, PLAIN, instance);
        }
    }

    pub(super) fn behind_end(&mut self, place: usize, instance: &mut Arc<Instance>) {
        let ctx = self.ctx;
        let target = &ctx.targets[place % ctx.targets.len()];
        let mut buffer = self.buffer();
        buffer.resize(BLOCK);
        let op = Op::read(buffer, target.len.next_multiple_of(BLOCK as u64));
        if let Ok(pending) = self.submit(place, instance, &target.file, op) {
            let job = self.job(Task::Nothing);
            self.hold(Handle::One(pending), job, PLAIN, instance);
        }
    }
}

fn index(ctx: &crate::stress::Context, target: &Target) -> usize {
    ctx.targets
        .iter()
        .position(|other| std::ptr::eq(other, target))
        .unwrap_or(0)
}

fn flags(nowait: bool) -> RwFlags {
    if nowait {
        RwFlags::NOWAIT
    } else {
        RwFlags::default()
    }
}

fn given_up(how: How) -> bool {
    matches!(how, How::Drop | How::Forget)
}

/// An abandoned write that may fail would leave blocks with unknown contents, so it is waited for.
fn tamed(transfer: &Transfer) -> Transfer {
    let mut transfer = *transfer;
    if transfer.nowait && transfer.write && given_up(transfer.way.how) {
        transfer.way.how = How::Wait;
    }
    transfer
}
