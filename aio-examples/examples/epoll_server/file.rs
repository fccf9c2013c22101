//! The file that is served, and buffers that fit it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

use aio_safe::AlignedBuf;
use rustix::{
    fs::{FallocateFlags, OFlags},
    io::Errno,
};

use crate::protocol::BLOCK;

/// A file of blocks.
#[derive(Debug)]
pub(crate) struct BlockFile {
    file: File,
    len: u64,
    direct: bool,
}

impl BlockFile {
    /// Opens the file, with `O_DIRECT` where that is possible, and makes it at least `size` bytes
    /// long. All of it is allocated: a write that allocates may block in `io_submit`.
    pub(crate) fn open(path: &Path, size: Option<u64>) -> io::Result<Self> {
        let (file, direct) = match open(path, OFlags::DIRECT, size.is_some()) {
            Ok(file) => (file, true),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                (open(path, OFlags::empty(), size.is_some())?, false)
            }
            Err(error) => return Err(error),
        };
        // The length of a block device is where its end is.
        let mut len = (&file).seek(SeekFrom::End(0))?;
        if let Some(size) = size.filter(|size| *size > len) {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
                // Some file systems can't allocate in advance.
                Err(Errno::OPNOTSUPP) => file.set_len(size)?,
                done => done?,
            }
            len = size;
        }
        let len = len - len % u64::from(BLOCK);
        if len == 0 {
            let text = "it hasn't a single block: give it a size";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut this = Self { file, len, direct };
        if this.direct && !this.takes_direct_reads()? {
            this.file = open(path, OFlags::empty(), false)?;
            this.direct = false;
        }
        Ok(this)
    }

    /// Whether blocks can be read with `O_DIRECT`. Some file systems refuse it only when a transfer
    /// comes, and some want larger blocks.
    fn takes_direct_reads(&self) -> io::Result<bool> {
        match self.file.read_at(&mut buffer(BLOCK)?, 0) {
            Ok(_) => Ok(true),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many bytes are served: a multiple of the block size.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether reads and writes bypass the page cache, and so don't block in `io_submit`.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }
}

impl AsFd for BlockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A buffer for a read or a write.
pub(crate) fn buffer(len: u32) -> io::Result<AlignedBuf> {
    Ok(AlignedBuf::zeroed(len as usize, BLOCK as usize)?)
}

fn open(path: &Path, flags: OFlags, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .custom_flags(flags.bits() as i32)
        .open(path)
}
