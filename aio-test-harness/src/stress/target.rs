//! A target of reads and writes: a file or a block device.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::stress::{
    buffer::Buffer,
    pattern::{self, BLOCK, Expect},
};

/// The number of blocks of each target that a thread owns.
pub(super) const BLOCKS_PER_THREAD: usize = 128;

/// One open file or device.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// The file, open for reading and writing.
    pub(super) file: File,
    pub(super) read_only: File,
    /// Whether it was opened with `O_DIRECT`.
    pub(super) direct: bool,
    /// Whether misaligned operations fail. On tmpfs, for example, they don't.
    pub(super) aligned_only: bool,
    /// The length in bytes. Nothing is written behind it.
    pub(super) len: u64,
    /// Removes the temporary file when it is dropped.
    _scratch: Option<tempfile::TempPath>,
}

impl Target {
    /// Opens a file or a device, or makes a file in a directory, for this number of threads.
    pub(super) fn open(path: &Path, threads: usize) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Self::open_unnamed(path, threads).map_err(named)
    }

    fn open_unnamed(path: &Path, threads: usize) -> io::Result<Self> {
        let len = (threads * BLOCKS_PER_THREAD * BLOCK) as u64;
        if path.is_dir() {
            let scratch = tempfile::Builder::new()
                .prefix("aio-stress-")
                .tempfile_in(path)?
                .into_temp_path();
            let mut target = Self::open_file(&scratch, len)?;
            target._scratch = Some(scratch);
            return Ok(target);
        }
        Self::open_file(path, len)
    }

    fn open_file(path: &Path, len: u64) -> io::Result<Self> {
        let is_device = path
            .metadata()
            .is_ok_and(|metadata| metadata.file_type().is_block_device());
        let open = |write: bool, flags| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .create(write && !is_device)
                .custom_flags(flags)
                .open(path)
        };
        // A device that is mounted or otherwise in use is refused.
        let exclusive = if is_device { libc::O_EXCL } else { 0 };
        let (file, direct) = match open(true, libc::O_DIRECT | exclusive) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                (open(true, exclusive)?, false)
            }
            file => (file?, true),
        };
        let len = if is_device {
            let size = io::Seek::seek(&mut &file, io::SeekFrom::End(0))?;
            if size < len {
                let text = format!("the device must have at least {len} bytes");
                return Err(io::Error::other(text));
            }
            size
        } else {
            file.set_len(len)?;
            len
        };
        let misaligned = file.read_at(&mut [0; 1], 1);
        let aligned_only =
            direct && misaligned.is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL));
        Ok(Self {
            path: path.to_owned(),
            read_only: open(false, if direct { libc::O_DIRECT } else { 0 })?,
            file,
            direct,
            aligned_only,
            len,
            _scratch: None,
        })
    }

    /// Writes a block's contents with `pwrite`.
    pub(super) fn write(
        &self,
        buffer: &mut Buffer,
        seed: u64,
        at: Block,
        version: u64,
    ) -> io::Result<()> {
        buffer.resize(BLOCK);
        pattern::fill(buffer, seed, at.id(), version);
        self.file.write_all_at(buffer, at.offset())
    }

    /// Reads a block with `pread`, and checks it.
    pub(super) fn check(
        &self,
        buffer: &mut Buffer,
        seed: u64,
        at: Block,
        expect: Expect,
    ) -> Result<(), String> {
        buffer.resize(BLOCK);
        pattern::spoil(buffer);
        self.file
            .read_exact_at(buffer, at.offset())
            .map_err(|error| error.to_string())?;
        pattern::check(buffer, seed, at.id(), expect).map_err(|wrong| wrong.to_string())
    }
}

/// A block of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The target's index.
    pub(super) target: usize,
    /// The block's number in the target.
    pub(super) number: usize,
}

impl Block {
    /// The block's number in its contents.
    pub(super) fn id(self) -> u64 {
        (self.target as u64) << 32 | self.number as u64
    }

    /// The block's offset in bytes.
    pub(super) fn offset(self) -> u64 {
        (self.number * BLOCK) as u64
    }

    /// The block that lies `n` blocks behind it.
    pub(super) fn plus(self, n: usize) -> Self {
        Self {
            number: self.number + n,
            ..self
        }
    }
}
