//! A file and its alignment.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, FileType},
    io::{Errno, retry_on_intr},
};

use super::{
    Alignment, Asynchrony, OpenOptions, device, nowait,
    probe::{self, DirectIo},
};
use crate::{
    AlignedBuf,
    buf::AllocError,
    kept::{Kept, KeptId},
};

/// A file, and what its transfers have to be aligned to.
///
/// It isn't bound to a queue: methods that submit take one. See the [module](crate::fs) for an
/// example, for which methods block, and for what [dropping](crate::fs#dropping) a future means.
///
/// Whether the file is direct and its alignment are found out once, when it is opened or converted
/// from a [`std::fs::File`]. So don't change `O_DIRECT` later (`fcntl`, `F_SETFL`): transfers would
/// be checked for the wrong alignment, and the kernel would answer EINVAL.
pub struct File {
    /// Operations in flight keep it too: some are submitted a second time.
    kept: Kept,
    /// What the operations know of the file, if they may have to be submitted a second time.
    id: Option<KeptId>,
    alignment: Alignment,
    direct: bool,
}

impl File {
    /// A file that is direct with this alignment, or buffered.
    pub(super) fn new(file: std::fs::File, direct: Option<Alignment>) -> Self {
        let kept = nowait::kept(file, direct.is_some());
        Self {
            id: direct.map(|_| kept.id()),
            kept,
            alignment: direct.unwrap_or(Alignment::NONE),
            direct: direct.is_some(),
        }
    }

    /// Opens a file for reading. This blocks.
    ///
    /// The file is direct if it can have direct I/O, and buffered otherwise:
    /// [`is_direct`](Self::is_direct) tells. [`OpenOptions::direct`] asks for one or the other.
    ///
    /// Direct transfers have to be [aligned](Self::alignment). [`buffer`](Self::buffer) makes
    /// buffers that are.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for reading and writing, makes it if there is none, and removes its contents if
    /// there is one. It is direct if it can be, as with [`open`](Self::open). This blocks.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Another handle of the same open file.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)` with `F_DUPFD_CLOEXEC`. Most often it is EMFILE: the process has too
    /// many files open.
    pub fn try_clone(&self) -> io::Result<Self> {
        let direct = self.direct.then_some(self.alignment);
        Ok(Self::new(self.as_std().try_clone()?, direct))
    }

    /// The file as the standard library's, for everything that isn't here: metadata, permissions,
    /// locks. These calls block.
    pub fn as_std(&self) -> &std::fs::File {
        self.kept.file().file()
    }

    /// The standard library's file, with the same descriptor.
    ///
    /// # Errors
    ///
    /// This file, if it is direct and operations that it made are in flight in a queue that may
    /// submit them a second time. They keep the descriptor open. Take their results first, or
    /// [clone](std::fs::File::try_clone) the file.
    pub fn try_into_std(self) -> Result<std::fs::File, Self> {
        match self.kept.try_into_only() {
            Ok(file) => Ok(file.into_file()),
            Err(kept) => Err(Self { kept, ..self }),
        }
    }

    /// What its operations know of it.
    #[inline]
    pub(super) fn id(&self) -> Option<KeptId> {
        self.id
    }

    /// What the file's transfers have to be aligned to.
    #[inline]
    pub fn alignment(&self) -> Alignment {
        self.alignment
    }

    #[inline]
    pub(super) fn alignment_ref(&self) -> &Alignment {
        &self.alignment
    }

    /// Whether the file is open for direct I/O (`O_DIRECT`), and can have it.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether the file's transfers are asynchronous, and why. Takes at most two system calls,
    /// `fstat` and `fstatfs`.
    ///
    /// ```
    /// use aio_safe::fs::{Asynchrony, Direct, OpenOptions};
    ///
    /// let file = OpenOptions::new().read(true).direct(Direct::Off).open("Cargo.toml")?;
    /// assert_eq!(file.asynchrony(), Asynchrony::Buffered);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn asynchrony(&self) -> Asynchrony {
        Asynchrony::of(self.as_fd(), self.direct)
    }

    /// An empty buffer for this file: with the file's alignment of memory, and a capacity of `len`
    /// bytes, rounded up to the file's alignment of lengths. A read fills it up to its capacity. A
    /// write takes its length, so fill it and then [pad](AlignedBuf::pad_to) it.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when `len` is too large, or when memory has run out.
    pub fn buffer(&self, len: usize) -> Result<AlignedBuf, AllocError> {
        AlignedBuf::with_capacity(self.alignment.round_up(len), self.alignment.memory)
    }

    /// The file's length in bytes. For a block device it is the device's size. This blocks only on
    /// network file systems and FUSE.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`, and of `ioctl(2)` with `BLKGETSIZE64`.
    #[expect(clippy::len_without_is_empty, reason = "a file is no collection")]
    #[doc(alias = "BLKGETSIZE64")]
    pub fn len(&self) -> io::Result<u64> {
        match probe::file_type(self.as_fd()) {
            Some(FileType::BlockDevice) => device::len(self.as_fd()),
            _ => Ok(self.as_std().metadata()?.len()),
        }
    }

    /// Sets the file's length, by cutting off the end or by adding a hole (`ftruncate(2)`). This
    /// blocks. Transfers in flight may take place before or after it.
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`. EINVAL for what isn't a regular file, or isn't open for writing.
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.as_std().set_len(len)
    }

    /// Allocates the blocks for `len` bytes from `offset` on (`fallocate(2)`), and makes the file
    /// that long if it is shorter. This blocks. Writes to allocated blocks are less likely to block
    /// in `io_submit`, and don't fail for lack of space.
    ///
    /// # Errors
    ///
    /// - [`Unsupported`](io::ErrorKind::Unsupported) when the file system can't allocate blocks in
    ///   advance (EOPNOTSUPP). Writes allocate them then.
    /// - `Unsupported` also for a block device, which has all of its blocks.
    /// - Those of `fallocate(2)`: ENOSPC when the file system has no room, EINVAL when `len` is 0,
    ///   EBADF when the file isn't open for writing, ENODEV for a character device.
    #[doc(alias = "fallocate")]
    pub fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::empty();
        match retry_on_intr(|| rustix::fs::fallocate(self.as_std(), flags, offset, len)) {
            Err(Errno::OPNOTSUPP) => {
                let why = match probe::file_type(self.as_fd()) {
                    Some(FileType::BlockDevice) => {
                        "a block device has all of its blocks already (EOPNOTSUPP)"
                    }
                    _ => "the file system can't allocate blocks in advance (EOPNOTSUPP)",
                };
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
            other => Ok(other?),
        }
    }
}

impl From<std::fs::File> for File {
    /// Finds out whether the file is direct (`fcntl` with `F_GETFL`), and if so its alignment.
    ///
    /// Finding the alignment takes a few system calls more, and may read from sysfs. It never
    /// fails: if nothing tells the alignment, it is a [guess](super::AlignmentSource::Guess).
    ///
    /// If the file is open with `O_APPEND`, Linux ignores the offsets of writes.
    fn from(file: std::fs::File) -> Self {
        let found = match probe::has_flag_direct(file.as_fd()) {
            true => probe::direct_io(file.as_fd()),
            false => DirectIo::None,
        };
        match found {
            DirectIo::Aligned(alignment) => Self::new(file, Some(alignment)),
            DirectIo::None => Self::new(file, None),
        }
    }
}

impl AsFd for File {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.as_std().as_fd()
    }
}

impl AsRawFd for File {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.as_std().as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("file", self.as_std())
            .field("direct", &self.direct)
            .field("alignment", &self.alignment)
            .finish()
    }
}
