//! The new file, which gets its name when it is complete.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
};

use aio_safe::fs::{File, OpenOptions};
use rustix::{
    fs::{AtFlags, CWD, OFlags, linkat},
    io::Errno,
};
use tempfile::{Builder, NamedTempFile};

/// A file without its name. Dropping it removes it.
pub(crate) enum Draft {
    /// It has no name at all (`O_TMPFILE`), so the kernel removes it when the process ends, however
    /// that happens.
    Unnamed(File),
    /// It has a temporary name, on file systems without `O_TMPFILE`.
    Named(NamedTempFile<File>),
}

impl Draft {
    /// Makes an empty file in this directory, which only its owner can read.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        // The flag for directories is a part of it, and kernels without O_TMPFILE see only that.
        let unnamed = OFlags::TMPFILE.bits() as i32;
        match options().custom_flags(unnamed).open(dir) {
            Ok(file) => Ok(Self::Unnamed(file)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => Self::named(dir),
                _ => Err(error),
            },
        }
    }

    /// As [`new`](Self::new), where there is no `O_TMPFILE`.
    pub(crate) fn named(dir: &Path) -> io::Result<Self> {
        let make = |path: &Path| options().create_new(true).open(path);
        temporary_name().make_in(dir, make).map(Self::Named)
    }

    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Gives the file its name, in the directory in which it was made. A file that has this name is
    /// replaced in one step.
    pub(crate) fn publish(self, target: &Path) -> io::Result<()> {
        match self {
            Self::Unnamed(file) => match link(file.as_fd(), target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Only `rename` replaces a file, and it needs a name.
                    let dir = target.parent().unwrap_or(Path::new(""));
                    let link = |path: &Path| link(file.as_fd(), path);
                    temporary_name().make_in(dir, link)?.persist(target)?;
                    Ok(())
                }
                other => other,
            },
            Self::Named(file) => {
                file.persist(target)?;
                Ok(())
            }
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn temporary_name() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".copy-");
    builder
}

/// Gives a name to a file without one.
fn link(file: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    match linkat(file, c"", CWD, path, AtFlags::EMPTY_PATH) {
        // The process may do it only by way of /proc.
        Err(Errno::NOENT) => {
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(CWD, name, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
        }
        other => Ok(other?),
    }
}
