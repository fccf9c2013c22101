//! The store's directory: names, the lock, and changes that last.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aio_safe::Queue;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use super::file;

/// The directory of a store. While it is open, no other process can open it.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
    handle: fs::File,
    queue: Queue,
}

impl Dir {
    /// Opens the directory, and locks it.
    pub(crate) fn open(queue: &Queue, path: &Path) -> Result<Self> {
        let handle = fs::File::open(path)
            .with_context(|| format!("can't open the directory {}", path.display()))?;
        flock(&handle, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("{} is in use by another process", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            handle,
            queue: queue.clone(),
        })
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn segment(&self, id: u64) -> PathBuf {
        self.path.join(format!("{id:010}.segment"))
    }

    /// The name of a segment that isn't ready.
    pub(crate) fn unready(&self, id: u64) -> PathBuf {
        self.path.join(format!("{id:010}.unready"))
    }

    /// The ids of all segments, sorted.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        self.ids("segment")
    }

    fn ids(&self, extension: &str) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if path.extension().is_some_and(|it| it == extension) {
                ids.extend(name.and_then(|name| name.parse::<u64>().ok()));
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Gives a segment its name, also after a power failure. It replaces a segment of that name.
    pub(crate) async fn publish(&self, id: u64) -> io::Result<()> {
        let (from, to) = (self.unready(id), self.segment(id));
        blocking(move || fs::rename(from, to)).await?;
        self.sync().await
    }

    /// Removes segments. After a power failure they may be there again.
    pub(crate) async fn remove(&self, ids: impl IntoIterator<Item = u64>) -> io::Result<()> {
        let paths: Vec<_> = ids.into_iter().map(|id| self.segment(id)).collect();
        blocking(move || paths.iter().try_for_each(fs::remove_file)).await
    }

    /// Removes what a killed process didn't get ready.
    pub(crate) fn remove_unready(&self) -> io::Result<()> {
        let ids = self.ids("unready")?;
        ids.into_iter()
            .try_for_each(|id| fs::remove_file(self.unready(id)))
    }

    /// Makes it last which files there are, and under which names.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        file::sync(&self.queue, &self.handle).await
    }
}

/// Runs a call that native AIO doesn't have in another thread.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await?
}
