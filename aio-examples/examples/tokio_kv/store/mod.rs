//! The store: a log of changes in files, and an index of it in memory.
//!
//! # Dropped futures
//!
//! A client may go away at any moment, and its futures are dropped then. A read that is dropped is
//! abandoned: the queue keeps its buffer until the disk has filled it. A write that is dropped may
//! still land. So clients' tasks don't write to the log: they hand their changes to the writer's
//! task, which lives as long as the store is open. A change that was handed over is made, whether
//! or not its client waits for the answer.
//!
//! A compaction that is dropped leaves a file that isn't ready. It is removed when the store is
//! opened again.
//!
//! # What is claimed
//!
//! Each change that was acknowledged is there after kills and power cuts, on ext4, XFS and the
//! weakest file system that POSIX allows. That holds when transfers are short or interrupted, when
//! the kernel has no room, when blocks or a quota run out, and when the device stalls or goes away.
//! It doesn't hold on devices that lie. It doesn't hold when a sync has failed and the store was
//! opened again: that reads data which may never be durable. Then restore a backup.

mod append;
mod commit;
mod compact;
pub(crate) mod dir;
mod file;
pub(crate) mod format;
pub(crate) mod index;
mod record;
pub(crate) mod recover;
mod scan;
mod segment;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow, ensure};
use tokio::sync::{mpsc, oneshot};

use dir::Dir;
use format::{KEY_MAX, VALUE_MAX};
use index::Index;
use segment::Value;
use writer::{Job, Write, closed};

/// How many changes may wait for the writer. Beyond that, clients wait to hand theirs over.
const WAITING: usize = 256;

/// An open store. Clones are the same store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    dir: Dir,
    index: Mutex<Index>,
    /// One compaction runs at a time.
    compaction: tokio::sync::Mutex<()>,
}

impl Shared {
    /// It is never held across an `.await`.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the store in a directory, which must exist.
    pub(crate) async fn open(dir: Dir) -> Result<Self> {
        let (index, log) = recover::recover(&dir).await?;
        let shared = Arc::new(Shared {
            dir,
            index: Mutex::new(index),
            compaction: tokio::sync::Mutex::default(),
        });
        let (writer, jobs) = mpsc::channel(WAITING);
        tokio::spawn(writer::run(Arc::clone(&shared), log, jobs));
        Ok(Self { shared, writer })
    }

    /// Reads a key's value.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let location = self.shared.index().keys.get(key).cloned();
        match location {
            None => Ok(None),
            Some(location) => location.segment.read(location.place, key).await.map(Some),
        }
    }

    /// Sets a key to a value. It is durable when this returns.
    ///
    /// If the future is dropped, the value may be set all the same: the writer owns the change as
    /// soon as it was handed over.
    pub(crate) async fn put(&self, key: Box<[u8]>, value: Box<[u8]>) -> Result<()> {
        self.change(key, Some(value)).await.map(drop)
    }

    /// Deletes a key. Returns whether it was there. Otherwise as [`put`](Self::put).
    pub(crate) async fn delete(&self, key: Box<[u8]>) -> Result<bool> {
        self.change(key, None).await
    }

    async fn change(&self, key: Box<[u8]>, value: Option<Box<[u8]>>) -> Result<bool> {
        ensure!((1..=KEY_MAX).contains(&key.len()), "the key's length");
        let len = value.as_ref().map_or(0, |value| value.len());
        ensure!(len <= VALUE_MAX, "the value's length");
        self.ask(|answer| Job::Write(Write { key, value, answer }))
            .await
    }

    /// All keys, sorted.
    pub(crate) fn keys(&self) -> Vec<Box<[u8]>> {
        self.shared.index().keys.keys().cloned().collect()
    }

    /// Frees the space of what was replaced or deleted before this was called.
    pub(crate) async fn compact(&self) -> Result<()> {
        let _one = self.shared.compaction.lock().await;
        self.ask(Job::Roll).await?;
        compact::compact(&self.shared).await
    }

    /// Ends the store in order. Changes that were handed over before are made.
    pub(crate) async fn close(&self) -> Result<()> {
        self.ask(Job::Close).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Job,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let sent = self.writer.send(job(answer)).await;
        sent.map_err(|_| closed())?;
        let answer = answered.await.map_err(|_| closed())?;
        answer.map_err(|error| anyhow!(error))
    }
}
