//! The queue and the file: what is in flight on the disk.

use std::os::fd::{AsFd, BorrowedFd};

use aio_safe::{
    AlignedBuf, BufResult, Lane, Op, OpError, Pending, Queue,
    buf::{IoBufExt, Slice},
    error::QueueError,
    op::{FileSync, Transfer},
    queue::EventQueue,
};
use anyhow::{Context, Result};
use rustix::io::Errno;

use crate::{
    file::BlockFile,
    protocol::{Opcode, Request, Status},
};

/// A read or a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// The connection that it is for.
    pub(crate) connection: u64,
    pub(crate) request: Request,
    /// How many bytes were transferred.
    pub(crate) done: u32,
}

/// The syncs of connections: each with the connection's name.
type Syncs = Vec<(u64, Request)>;

#[derive(Debug)]
pub(crate) struct Disk {
    /// Goes first: its slots are the queue's.
    lane: Lane<Transfer<Slice<AlignedBuf>>, Job>,
    /// Goes to the kernel before anything else: the rest of short transfers, and what the kernel
    /// had no room for.
    again: Vec<(Job, AlignedBuf)>,
    /// The sync in flight, and the requests that it answers.
    sync: Option<(Pending<FileSync>, Syncs)>,
    /// What the next sync answers. The one in flight may have begun before some writes ended that
    /// these requests cover.
    next_sync: Syncs,
    queue: EventQueue,
    file: BlockFile,
}

impl Disk {
    pub(crate) fn new(file: BlockFile, depth: u32) -> Result<Self> {
        let queue = Queue::builder(depth).build_with_eventfd()?;
        // One slot is left for syncs.
        let lane = queue.lane(depth - 1)?;
        Ok(Self {
            lane,
            again: Vec::new(),
            sync: None,
            next_sync: Vec::new(),
            queue,
            file,
        })
    }

    pub(crate) fn file(&self) -> &BlockFile {
        &self.file
    }

    /// Reaps. To be called when the eventfd can be read.
    pub(crate) fn reap(&self) -> Result<()> {
        self.queue.acknowledge();
        self.queue.reap(0, None).context("can't reap")?;
        Ok(())
    }

    /// Takes the next read or write that is over, with the buffer if it succeeded.
    pub(crate) fn take(&mut self) -> Option<(Job, Result<AlignedBuf, Status>)> {
        loop {
            let (mut job, BufResult { result, buffer }) = self.lane.try_take()?;
            let buffer = buffer.into_inner();
            match result {
                // The file is shorter than it was, or its device is full.
                Ok(0) => return Some((job, Err(Errno::IO.into()))),
                Ok(n) => {
                    job.done += n as u32;
                    if job.done == job.request.length {
                        return Some((job, Ok(buffer)));
                    }
                    self.again.push((job, buffer));
                }
                Err(error) => return Some((job, Err(status(error)))),
            }
        }
    }

    /// Takes the syncs that are over.
    pub(crate) fn take_synced(&mut self) -> Option<(Syncs, Result<(), Status>)> {
        let (pending, syncs) = self.sync.take()?;
        match pending.try_take() {
            Ok(result) => Some((syncs, result.map_err(status))),
            Err(pending) => {
                self.sync = Some((pending, syncs));
                None
            }
        }
    }

    /// Syncs, for a request of a connection.
    pub(crate) fn sync(&mut self, connection: u64, request: Request) {
        self.next_sync.push((connection, request));
    }

    /// Submits what `next` gives, as long as there are slots: everything in one `io_submit`.
    pub(crate) fn submit(
        &mut self,
        mut next: impl FnMut() -> Option<(Job, AlignedBuf)>,
    ) -> Result<()> {
        let mut batch = self.lane.batch();
        while batch.room() > 0 {
            let Some((job, buffer)) = self.again.pop().or_else(&mut next) else {
                break;
            };
            let part = buffer.slice(job.done as usize..job.request.length as usize);
            let offset = job.request.offset + u64::from(job.done);
            let op = match job.request.opcode {
                Opcode::Write => Op::write(part, offset),
                _ => Op::read(part, offset),
            };
            batch.push(&self.file, op, job)?;
        }
        match batch.submit() {
            Ok(()) => {}
            Err(QueueError::Again) => {
                while let Some((op, job)) = batch.pop() {
                    let buffer = op.into_payload().into_buffer().into_inner();
                    self.again.push((job, buffer));
                }
            }
            Err(error) => return Err(error).context("can't submit"),
        }
        drop(batch);
        self.submit_sync()
    }

    fn submit_sync(&mut self) -> Result<()> {
        if self.sync.is_some() || self.next_sync.is_empty() {
            return Ok(());
        }
        match self.queue.submit(&self.file, Op::fdatasync()) {
            Ok(pending) => self.sync = Some((pending, std::mem::take(&mut self.next_sync))),
            Err(error) if error.reason == QueueError::Again => {}
            Err(error) => return Err(error).context("can't submit a sync"),
        }
        Ok(())
    }

    /// Whether there are results that no signal of the eventfd will tell of: operations that
    /// `io_submit` refused.
    pub(crate) fn has_results(&mut self) -> bool {
        self.lane.has_results() || self.sync.as_ref().is_some_and(|(sync, _)| sync.is_done())
    }

    /// Whether something waits for room in the kernel, and no completion will tell that there is
    /// some.
    pub(crate) fn is_starved(&self) -> bool {
        let waits = !self.again.is_empty() || (self.sync.is_none() && !self.next_sync.is_empty());
        waits && self.queue.in_flight() == 0
    }

    /// Waits for everything in flight, syncs, and closes the queue.
    pub(crate) fn close(self) -> Result<()> {
        let Self {
            lane,
            sync,
            queue,
            file,
            ..
        } = self;
        drop(lane);
        drop(sync);
        queue.drain().context("can't drain the queue")?;
        queue
            .submit(&file, Op::fdatasync())?
            .wait()
            .context("can't sync the file")?;
        queue.close().context("can't close the queue")
    }
}

impl AsFd for Disk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

fn status(error: OpError) -> Status {
    Status::of(error.errno().raw())
}
