//! The store's directory: the names of segments, and changes of them that last.

use std::{io, path::Path, sync::Arc};

use aio_safe::Queue;
use anyhow::Result;

use super::{
    super::disk::{Directory, OpenFile, blocking},
    file,
};

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct Dir {
    directory: Arc<Directory>,
    queue: Queue,
}

/// The name of a segment.
fn segment(id: u64) -> String {
    format!("{id:010}.segment")
}

/// The name of a segment that isn't ready.
fn unready(id: u64) -> String {
    format!("{id:010}.unready")
}

impl Dir {
    /// Opens the directory, and locks it.
    pub(crate) fn open(queue: &Queue, path: &Path) -> Result<Self> {
        Ok(Self {
            directory: Arc::new(Directory::open(path)?),
            queue: queue.clone(),
        })
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The name of a segment, for people.
    pub(crate) fn shown(&self, id: u64) -> String {
        self.directory.shown(&segment(id))
    }

    /// Opens a segment's file.
    pub(crate) fn segment(&self, id: u64) -> io::Result<OpenFile> {
        self.directory.file(&segment(id))
    }

    /// Makes the file of a segment that isn't ready, with `len` bytes.
    pub(crate) async fn new_segment(&self, id: u64, len: u64) -> io::Result<OpenFile> {
        let directory = Arc::clone(&self.directory);
        blocking(move || {
            let file = directory.new_file(&unready(id))?;
            file.allocate(len)?;
            Ok(file)
        })
        .await
    }

    /// The ids of all segments, sorted.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        self.ids(".segment")
    }

    fn ids(&self, extension: &str) -> io::Result<Vec<u64>> {
        let names = self.directory.names()?;
        let ids = names
            .iter()
            .filter_map(|name| name.strip_suffix(extension)?.parse().ok());
        let mut ids: Vec<u64> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Gives a segment its name, also after a power failure. It replaces a segment of that name.
    pub(crate) async fn publish(&self, id: u64) -> io::Result<()> {
        let directory = Arc::clone(&self.directory);
        blocking(move || directory.rename(&unready(id), &segment(id))).await?;
        self.sync().await
    }

    /// Removes segments. After a power failure they may be there again.
    pub(crate) async fn remove(&self, ids: impl IntoIterator<Item = u64>) -> io::Result<()> {
        let names: Vec<String> = ids.into_iter().map(segment).collect();
        let directory = Arc::clone(&self.directory);
        blocking(move || names.iter().try_for_each(|name| directory.remove(name))).await
    }

    /// Removes what a killed process didn't get ready.
    pub(crate) fn remove_unready(&self) -> io::Result<()> {
        let ids = self.ids(".unready")?;
        ids.into_iter()
            .try_for_each(|id| self.directory.remove(&unready(id)))
    }

    /// Makes it last which files there are, and under which names.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        file::sync(&self.queue, &*self.directory).await
    }
}
