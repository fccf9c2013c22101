//! The page cache: has it everything of a file, or nothing, as the cell asks.

#![allow(unsafe_code, reason = "posix_fadvise")]

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    sync::Arc,
};

use aio_bench::Caching;
use anyhow::{Context, Result, ensure};

/// A file whose place in the page cache is prepared before each turn, and checked after it.
pub(crate) struct Watched {
    file: Arc<File>,
    caching: Caching,
}

/// The bytes that the process had read from devices before a turn. `None` if the kernel keeps no
/// account of them.
pub(crate) struct Before(Option<u64>);

impl Watched {
    /// Reads the file into the page cache, or tells the kernel to read nothing ahead.
    pub(crate) fn new(file: Arc<File>, caching: Caching) -> Result<Self> {
        match caching {
            Caching::Direct => {}
            Caching::Cached => read(&file).context("reading the file into the page cache")?,
            // The advice is kept with the open file, which all duplicates share.
            Caching::Uncached => advise(&file, libc::POSIX_FADV_RANDOM)?,
        }
        Ok(Self { file, caching })
    }

    /// Gets ready for a turn.
    pub(crate) fn prepare(&self) -> Result<Before> {
        if self.caching == Caching::Uncached {
            advise(&self.file, libc::POSIX_FADV_DONTNEED)?;
        }
        let account = match self.caching {
            Caching::Direct => None,
            Caching::Cached | Caching::Uncached => read_from_devices(),
        };
        Ok(Before(account))
    }

    /// Checks where a turn's data came from. `bytes` were read.
    ///
    /// # Errors
    ///
    /// Too much came from the page cache, or from a device.
    pub(crate) fn check(&self, Before(before): Before, bytes: u64) -> Result<()> {
        match before.zip(read_from_devices()) {
            Some((before, after)) => within_limits(self.caching, after - before, bytes),
            None => Ok(()),
        }
    }
}

fn within_limits(caching: Caching, from_devices: u64, bytes: u64) -> Result<()> {
    let holds = match caching {
        Caching::Direct => true,
        Caching::Cached => from_devices <= bytes / 100 * 5,
        Caching::Uncached => from_devices >= bytes / 100 * 95,
    };
    ensure!(
        holds,
        "of {bytes} bytes that were read, {from_devices} came from a device: not {caching:?}"
    );
    Ok(())
}

fn read(file: &File) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        match file.read_at(&mut chunk, offset)? {
            0 => return Ok(()),
            n => offset += n as u64,
        }
    }
}

fn advise(file: &File, advice: i32) -> Result<()> {
    // SAFETY: the call takes only numbers, and `file` keeps the descriptor open.
    let errno = unsafe { libc::posix_fadvise64(file.as_raw_fd(), 0, 0, advice) };
    ensure!(
        errno == 0,
        "posix_fadvise: {}",
        io::Error::from_raw_os_error(errno)
    );
    Ok(())
}

/// How many bytes were read from devices for this process.
fn read_from_devices() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_what_was_read_has_limits() {
        let holds = |caching, from_devices| within_limits(caching, from_devices, 10_000).is_ok();
        assert!(holds(Caching::Cached, 500) && !holds(Caching::Cached, 501));
        assert!(holds(Caching::Uncached, 9500) && !holds(Caching::Uncached, 9499));
        assert!(holds(Caching::Direct, 0) && holds(Caching::Direct, 10_000));
    }
}
