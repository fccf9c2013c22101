//! The file that is read, in blocks in a random order.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

/// Bytes of a block, and its alignment in memory, which is enough for any disk.
pub(crate) const BLOCK: usize = 64 << 10;
const ALIGN: usize = 4096;

/// How many reads a model has in flight that can have more than one.
pub(crate) const DEPTH: usize = 8;

/// How the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Past the page cache, where the file system allows it.
    Direct,
    /// The same, with `O_NONBLOCK`.
    DirectNonblock,
    /// Through the page cache, which is cold.
    Buffered,
}

/// The file. Each block begins with its number.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: File,
    /// The blocks' numbers, in the order in which they are read.
    pub(crate) order: Vec<u32>,
    /// Why `O_DIRECT` can't be had.
    pub(crate) not_direct: Option<Errno>,
}

impl Blocks {
    /// Makes the file. It has no name, and is gone when the program ends, however it ends.
    pub(crate) fn make(dir: &Path, count: u32) -> Result<Self> {
        let file = tempfile::tempfile_in(dir)
            .with_context(|| format!("can't make a file in {}", dir.display()))?;
        write(&file, count).with_context(|| {
            let mib = (u64::from(count) * BLOCK as u64) >> 20;
            format!("can't write a file of {mib} MiB in {}", dir.display())
        })?;
        let mut order: Vec<u32> = (0..count).collect();
        // The same order in each run of the program.
        fastrand::Rng::with_seed(1).shuffle(&mut order);
        let not_direct = set_flags(&file, OFlags::DIRECT).err();
        Ok(Self {
            file,
            order,
            not_direct,
        })
    }

    /// Opens the file in another way, and takes it out of the page cache.
    pub(crate) fn prepare(&self, mode: Mode) -> Result<()> {
        let mut flags = match mode {
            Mode::Direct => OFlags::DIRECT,
            Mode::DirectNonblock => OFlags::DIRECT | OFlags::NONBLOCK,
            Mode::Buffered => OFlags::empty(),
        };
        if self.not_direct.is_some() {
            flags.remove(OFlags::DIRECT);
        }
        set_flags(&self.file, flags).context("can't set the file's flags")?;
        for advice in [Advice::Random, Advice::DontNeed] {
            fadvise(&self.file, 0, None, advice).context("posix_fadvise")?;
        }
        Ok(())
    }

    /// A buffer for a block.
    pub(crate) fn buffer(&self) -> Result<AlignedBuf> {
        Ok(AlignedBuf::zeroed(BLOCK, ALIGN)?)
    }

    /// Buffers for as many blocks as can be in flight.
    pub(crate) fn buffers(&self) -> Result<Vec<AlignedBuf>> {
        (0..DEPTH).map(|_| self.buffer()).collect()
    }

    pub(crate) fn offset(block: u32) -> u64 {
        u64::from(block) * BLOCK as u64
    }

    /// Checks that a block was read as a whole, and that it is the right one.
    pub(crate) fn check(block: u32, length: usize, buffer: &[u8]) -> Result<()> {
        ensure!(
            length == BLOCK,
            "block {block}: only {length} bytes of {BLOCK} were read"
        );
        ensure!(
            buffer.starts_with(&block.to_le_bytes()),
            "block {block}: the data are those of another block"
        );
        Ok(())
    }
}

impl AsFd for Blocks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn write(file: &File, count: u32) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(BLOCK * DEPTH, file);
    let mut block = vec![0; BLOCK];
    for number in 0..count {
        block[..4].copy_from_slice(&number.to_le_bytes());
        out.write_all(&block)?;
    }
    out.flush()?;
    // Only what is on the disk can be taken out of the page cache.
    file.sync_all()
}

/// Sets `O_DIRECT` and `O_NONBLOCK` to what `flags` has of them.
fn set_flags(file: &File, flags: OFlags) -> Result<(), Errno> {
    let others = fcntl_getfl(file)? - (OFlags::DIRECT | OFlags::NONBLOCK);
    fcntl_setfl(file, others | flags)
}
