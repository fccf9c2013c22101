//! Group commit. One task writes all changes: while it syncs, the next ones gather.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::disk::SEGMENT,
    Shared,
    append::Appender,
    commit::{self, Place},
    format::{BLOCK, COMMIT},
    record::Record,
    recover::{begin, location},
};

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Write(Write),
    /// Seals the segment, and begins the next one.
    Roll(oneshot::Sender<Result<(), String>>),
    /// Seals the segment, and ends the writer.
    Close(oneshot::Sender<Result<(), String>>),
}

/// A change, which is answered when it is durable. The answer says whether the key was there.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Option<Box<[u8]>>,
    pub(crate) answer: oneshot::Sender<Result<bool, String>>,
}

impl Write {
    fn record(&self) -> Record<'_> {
        Record {
            key: &self.key,
            value: self.value.as_deref(),
        }
    }
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    /// An error is final. After a failed write or sync it is unknown what is on the disk: the
    /// kernel may have dropped the data, and reports an error of a sync only once.
    log: Result<Appender, String>,
}

/// Does all jobs until it is closed. It owns each change. So if a client goes away and its future
/// is dropped, the change is made all the same, and no other client's change is affected.
pub(crate) async fn run(shared: Arc<Shared>, log: Appender, mut jobs: mpsc::Receiver<Job>) {
    let mut writer = Writer {
        shared,
        log: Ok(log),
    };
    let mut gathered = Vec::new();
    // All jobs that came during the last commit.
    while jobs.recv_many(&mut gathered, usize::MAX).await > 0 {
        let mut writes = Vec::new();
        let mut len = 0;
        for job in gathered.drain(..) {
            match job {
                Job::Write(write) => {
                    len += write.record().len();
                    writes.push(write);
                    if len >= COMMIT {
                        writer.commit(&mut writes).await;
                        len = 0;
                    }
                }
                Job::Roll(answer) => {
                    writer.commit(&mut writes).await;
                    let _ = answer.send(writer.roll().await);
                }
                Job::Close(answer) => {
                    writer.commit(&mut writes).await;
                    let _ = answer.send(writer.close().await);
                    return;
                }
            }
        }
        writer.commit(&mut writes).await;
    }
}

impl Writer {
    /// Makes changes durable, then visible, and then answers them.
    async fn commit(&mut self, writes: &mut Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let done = self.try_commit(writes).await;
        if let Err(error) = &done {
            self.fail(error);
        }
        for (n, write) in writes.drain(..).enumerate() {
            let answer = done.as_ref().map(|were_there| were_there[n]);
            // The client may have gone away.
            let _ = write.answer.send(answer.map_err(Clone::clone));
        }
    }

    async fn try_commit(&mut self, writes: &[Write]) -> Result<Vec<bool>, String> {
        let records: Vec<Record<'_>> = writes.iter().map(Write::record).collect();
        let size = commit::size(&records) as u64;
        let full = |log: &Appender| log.end + size + BLOCK as u64 > SEGMENT;
        if self.log.as_ref().is_ok_and(full) {
            self.roll().await?;
        }
        let log = self.log.as_mut().map_err(|error| error.clone())?;
        let places = durable(log, &records).await.map_err(text)?;

        let mut index = self.shared.index();
        let changes = writes.iter().zip(places);
        let were_there = changes.map(|(write, place)| {
            let location = write.value.as_ref().map(|_| location(&log.segment, place));
            index.apply(&write.key, location)
        });
        Ok(were_there.collect())
    }

    async fn roll(&mut self) -> Result<(), String> {
        let log = self.log.clone()?;
        let next = log.segment.id + 1;
        let next = async {
            let sealed = log.seal().await.context("can't seal the segment")?;
            let next = begin(&self.shared.dir, next).await;
            let next = next.context("can't begin a segment")?;
            self.shared.index().sealed.push(sealed);
            Ok(next)
        };
        let next = next.await.map_err(|error: anyhow::Error| text(error));
        if let Err(error) = &next {
            self.fail(error);
        }
        self.log = Ok(next?);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), String> {
        let log = self.log.clone()?;
        log.seal().await.map(drop).map_err(text)
    }

    fn fail(&mut self, error: &str) {
        if self.log.is_ok() {
            let error = format!("the store takes no changes any more: {error}");
            eprintln!("tokio_kv: {error}");
            self.log = Err(error);
        }
    }
}

/// Appends a commit, and syncs it.
async fn durable(log: &mut Appender, records: &[Record<'_>]) -> Result<Vec<Place>> {
    let places = log
        .append(records)
        .await
        .context("can't write to the log")?;
    let synced = log.segment.file.sync_data().await;
    synced.context("can't sync the log")?;
    Ok(places)
}

fn text(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

/// The answer of a writer that has ended.
pub(crate) fn closed() -> anyhow::Error {
    anyhow!("the store is closed")
}
