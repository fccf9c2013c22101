//! The queue: what is in flight, for all clients.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aio_safe::{
    BufResult, Lane, Op, OpError, Pending, Queue,
    error::QueueError,
    op::{FileSync, Transfer},
    queue::EventQueue,
};
use anyhow::{Context, Result};

use super::memory::Part;

/// A request that is carried out.
#[derive(Debug)]
pub(crate) struct Job {
    /// The client that it is for.
    pub(crate) client: u64,
    pub(crate) tag: u64,
    /// Keeps the descriptor open until the request is over, so that the loop doesn't close it.
    pub(crate) file: Arc<OwnedFd>,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Read { offset: u64 },
    Write { offset: u64 },
    Sync,
}

/// A job, and the memory of a read or a write.
pub(crate) type JobAndPart = (Job, Option<Part>);

pub(crate) struct Disk {
    /// Goes first: its slots are the queue's.
    lane: Lane<Transfer<Part>, Job>,
    syncs: Vec<(Pending<FileSync>, Job)>,
    /// How many syncs are in flight at most.
    most_syncs: usize,
    /// What the kernel had no room for. It goes first the next time.
    again: Vec<JobAndPart>,
    queue: EventQueue,
}

impl Disk {
    pub(crate) fn new(depth: u32) -> Result<Self> {
        let queue = Queue::builder(depth).build_with_eventfd()?;
        let syncs = (depth / 8).max(1);
        let lane = queue.lane(depth - syncs)?;
        Ok(Self {
            lane,
            syncs: Vec::new(),
            most_syncs: syncs as usize,
            again: Vec::new(),
            queue,
        })
    }

    /// Reaps. To be called when the eventfd can be read.
    pub(crate) fn reap(&self) -> Result<()> {
        self.queue.acknowledge();
        self.queue.reap(0, None).context("can't reap")?;
        Ok(())
    }

    /// Takes the next request that is over, with its result: bytes or a negative errno.
    pub(crate) fn take(&mut self) -> Option<(Job, Option<Part>, i64)> {
        if let Some((job, BufResult { result, buffer })) = self.lane.try_take() {
            return Some((job, Some(buffer), number(result.map(|n| n as i64))));
        }
        let index = self.syncs.iter().position(|(sync, _)| sync.is_done())?;
        let (sync, job) = self.syncs.swap_remove(index);
        // It is over, so this doesn't wait.
        let result = sync.wait();
        Some((job, None, number(result.map(|()| 0))))
    }

    /// Submits what `next` gives, as long as there are slots: reads and writes in one `io_submit`.
    /// `next` is told whether there is room for a read or a write, and for a sync.
    pub(crate) fn submit(
        &mut self,
        mut next: impl FnMut(bool, bool) -> Option<JobAndPart>,
    ) -> Result<()> {
        let room = self.lane.batch().room();
        let mut transfers = Vec::new();
        loop {
            let syncs = self.most_syncs - self.syncs.len();
            let (has_room, has_sync) = (transfers.len() < room, syncs > 0);
            let again = self.again.pop();
            let job = match again.or_else(|| next(has_room, has_sync)) {
                Some((job, Some(part))) if has_room => {
                    transfers.push((job, part));
                    continue;
                }
                Some(job) => job,
                None => break,
            };
            if !self.submit_sync(job)? {
                break;
            }
        }
        self.submit_transfers(transfers)
    }

    /// Submits a sync. Returns false if nothing more can be submitted now.
    fn submit_sync(&mut self, (job, part): JobAndPart) -> Result<bool> {
        if part.is_none() && self.syncs.len() < self.most_syncs {
            match self.queue.submit(&job.file, Op::fdatasync()) {
                Ok(sync) => {
                    self.syncs.push((sync, job));
                    return Ok(true);
                }
                Err(error) if error.reason == QueueError::Again => {}
                Err(error) => return Err(error).context("can't submit a sync"),
            }
        }
        self.again.push((job, part));
        Ok(false)
    }

    fn submit_transfers(&mut self, transfers: Vec<(Job, Part)>) -> Result<()> {
        let files: Vec<_> = transfers
            .iter()
            .map(|(job, _)| Arc::clone(&job.file))
            .collect();
        let mut batch = self.lane.batch();
        for ((job, part), file) in transfers.into_iter().zip(&files) {
            let op = match job.action {
                Action::Write { offset } => Op::write(part, offset),
                Action::Read { offset } => Op::read(part, offset),
                Action::Sync => unreachable!("a sync has no part of the memory"),
            };
            batch.push(file, op, job)?;
        }
        match batch.submit() {
            Ok(()) => {}
            Err(QueueError::Again) => {
                while let Some((op, job)) = batch.pop() {
                    self.again
                        .push((job, Some(op.into_payload().into_buffer())));
                }
            }
            Err(error) => return Err(error).context("can't submit"),
        }
        Ok(())
    }

    /// Whether there are results that no signal of the eventfd will tell of: operations that
    /// `io_submit` refused.
    pub(crate) fn has_results(&mut self) -> bool {
        self.lane.has_results() || self.syncs.iter().any(|(sync, _)| sync.is_done())
    }

    /// Whether something waits for room in the kernel, and no completion will tell that there is
    /// some.
    pub(crate) fn is_starved(&self) -> bool {
        !self.again.is_empty() && self.queue.in_flight() == 0
    }

    /// Whether nothing is in flight, or waits for room in the kernel, or has a result.
    pub(crate) fn is_idle(&self) -> bool {
        self.lane.in_flight() == 0 && self.syncs.is_empty() && self.again.is_empty()
    }

    /// Closes the queue, when it is idle.
    pub(crate) fn close(self) -> Result<()> {
        drop(self.lane);
        drop(self.syncs);
        self.queue.close().context("can't close the queue")
    }
}

impl AsFd for Disk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

fn number(result: Result<i64, OpError>) -> i64 {
    result.unwrap_or_else(|error| -i64::from(error.errno().raw()))
}
