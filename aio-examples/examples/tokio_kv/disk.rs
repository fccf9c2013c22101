//! The calls on files and names that native AIO doesn't have. They block, so they run in another
//! thread: see [`blocking`].
//!
//! A test puts a simulated disk in this file's place (`tests/tokio_kv_simulated/disk.rs`).

use std::{
    fs::{self, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::Errno,
};

/// How far from the start of a segment commits are appended, before the next segment begins.
pub(crate) const SEGMENT: u64 = 8 << 20;

/// A directory. While it is open, no other process can open it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    handle: fs::File,
}

impl Directory {
    /// Opens a directory, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let handle = fs::File::open(path)
            .with_context(|| format!("can't open the directory {}", path.display()))?;
        flock(&handle, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("{} is in use by another process", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, handle })
    }

    /// A file's name, for people.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let names: io::Result<Vec<_>> = names.collect();
        Ok(names?.into_iter().flatten().collect())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Opens a file that is there.
    pub(crate) fn file(&self, name: &str) -> io::Result<OpenFile> {
        OpenFile::open(
            &self.path.join(name),
            OpenOptions::new().read(true).write(true),
        )
    }

    /// Makes an empty file.
    pub(crate) fn new_file(&self, name: &str) -> io::Result<OpenFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        OpenFile::open(&self.path.join(name), &options)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// A file that is open for direct I/O.
#[derive(Debug)]
pub(crate) struct OpenFile(fs::File);

impl OpenFile {
    /// Opens a file with `O_DIRECT`, or without it where the file system has no direct I/O. Then
    /// transfers block the runtime's thread.
    ///
    /// If the last process was killed, this waits until its last write has landed. Otherwise the
    /// write could land on what this process writes. The lock tells: it belongs to the open file,
    /// which stays open as long as a request on it is in flight.
    fn open(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let mut direct = options.clone();
        let file = match direct.custom_flags(libc::O_DIRECT).open(path) {
            // If it was to be created, it may be there now.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.open(path)?,
            file => file?,
        };
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self(file))
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// Makes an empty file this long, and allocates its blocks if the file system can do that.
    pub(crate) fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP) => self.set_len(len),
            allocated => Ok(allocated?),
        }
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a call in another thread.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await?
}

/// Lets other tasks run for a while.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A random number.
pub(crate) fn salt() -> u64 {
    fastrand::u64(..)
}
