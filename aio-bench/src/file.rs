//! Files: opening them, and making them.

#![allow(unsafe_code, reason = "fallocate")]

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use aio_bench::{Caching, Contents};
use aio_safe::AlignedBuf;
use anyhow::{Context, Result, bail, ensure};

use crate::contents::{Pattern, SECTOR};

/// Opens a file or a block device, and returns its length in bytes.
pub(crate) fn open(path: &Path, caching: Caching, write: bool) -> Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    let mut file = match caching {
        Caching::Direct => direct(&mut options, path)?,
        Caching::Cached | Caching::Uncached => options
            .open(path)
            .with_context(|| path.display().to_string())?,
    };
    let bytes = file
        .seek(SeekFrom::End(0))
        .with_context(|| format!("{}: its length", path.display()))?;
    Ok((file, bytes))
}

fn direct(options: &mut OpenOptions, path: &Path) -> Result<File> {
    options
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .map_err(|error| {
            let refused = error.raw_os_error() == Some(libc::EINVAL);
            let error = anyhow::Error::new(error);
            if refused {
                error.context(format!(
                    "{}: its file system has no O_DIRECT",
                    path.display()
                ))
            } else {
                error.context(path.display().to_string())
            }
        })
}

/// Makes a new file and syncs it, so that the kernel has nothing left to write.
pub(crate) fn prepare(path: &Path, contents: Contents, bytes: u64) -> Result<()> {
    ensure!(
        bytes > 0 && bytes % SECTOR as u64 == 0,
        "a file's length must be a multiple of {SECTOR} bytes, not {bytes}"
    );
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file = direct(&mut options, path)?;
    let made = match contents {
        Contents::Zeros => allocate(&file, bytes),
        Contents::Numbered => write_numbered(&file, bytes),
    };
    made.and_then(|()| file.sync_all())
        .with_context(|| format!("{}: {bytes} bytes", path.display()))
}

/// Allocates space, which stays unwritten.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off64_t::try_from(bytes).map_err(io::Error::other)?;
    loop {
        // SAFETY: fallocate takes only numbers, and `file` keeps the descriptor open.
        if unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, bytes) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn write_numbered(mut file: &File, bytes: u64) -> io::Result<()> {
    let pattern = Pattern::of(Contents::Numbered);
    let mut chunk = AlignedBuf::zeroed(1 << 20, 4096)?;
    let mut offset = 0;
    while offset < bytes {
        let len = (bytes - offset).min(chunk.len() as u64);
        let part = &mut chunk[..len as usize];
        pattern.stamp(part, offset);
        file.write_all(part)?;
        offset += len;
    }
    Ok(())
}

/// Returns the number of blocks of a file.
pub(crate) fn blocks(path: &Path, bytes: u64, block: u32) -> Result<u64> {
    let block = u64::from(block);
    if bytes < block || bytes % block != 0 {
        bail!(
            "{}: {bytes} bytes aren't a multiple of the block, {block} bytes",
            path.display()
        );
    }
    Ok(bytes / block)
}
