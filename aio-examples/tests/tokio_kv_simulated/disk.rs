//! A simulated disk in the place of the example's `disk.rs`.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use aio_sim::{Disk, File, OFlags, World};
use anyhow::{Context, Result};

/// Short, so that a run has several segments.
pub(crate) const SEGMENT: u64 = 64 << 10;

thread_local! {
    /// The disk of the run in this thread.
    static CURRENT: RefCell<Option<(World, Disk)>> = const { RefCell::new(None) };
}

/// Says which disk the store is on.
pub(crate) fn set_current(world: &World, disk: &Disk) {
    CURRENT.set(Some((world.clone(), disk.clone())));
}

fn current<T>(body: impl FnOnce(&World, &Disk) -> T) -> T {
    CURRENT.with_borrow(|current| {
        let (world, disk) = current.as_ref().expect("a run has set it");
        body(world, disk)
    })
}

/// The disk's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    disk: Disk,
    handle: File,
}

impl Directory {
    pub(crate) fn open(_: &Path) -> Result<Self> {
        let disk = current(|_, disk| disk.clone());
        let handle = disk.open(".", OFlags::RDONLY).map_err(io::Error::from);
        let handle = handle.context("can't open the directory")?;
        Ok(Self { disk, handle })
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        name.to_owned()
    }

    #[expect(clippy::unnecessary_wraps, reason = "real names can't always be read")]
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.names())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(self.disk.rename(from, to)?)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(self.disk.remove(name)?)
    }

    pub(crate) fn file(&self, name: &str) -> io::Result<OpenFile> {
        let flags = OFlags::RDWR | OFlags::DIRECT;
        Ok(OpenFile(self.disk.open(name, flags)?))
    }

    pub(crate) fn new_file(&self, name: &str) -> io::Result<OpenFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::DIRECT;
        Ok(OpenFile(self.disk.open(name, flags)?))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

#[derive(Debug)]
pub(crate) struct OpenFile(File);

impl OpenFile {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a real length can't always be read"
    )]
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.0.len())
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(self.0.set_len(len)?)
    }

    pub(crate) fn allocate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a call at once: another thread would run at any time.
pub(crate) async fn blocking<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    tokio::task::yield_now().await;
    call()
}

pub(crate) async fn pause(_: Duration) {
    tokio::task::yield_now().await;
}

pub(crate) fn salt() -> u64 {
    current(|world, _| world.draw(u64::MAX))
}
