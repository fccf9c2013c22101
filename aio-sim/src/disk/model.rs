//! What kind of disk it is.

use std::{ops::RangeInclusive, time::Duration};

/// The file system of a disk: what a power cut leaves of names and lengths, and which direct writes
/// `io_submit` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystem {
    /// ext4 with its defaults (`data=ordered`). A sync of any file or directory makes all earlier
    /// changes of names durable.
    Ext4,
    /// XFS. A sync makes all changes of names durable up to the last one that the file or directory
    /// had part in.
    Xfs,
    /// The weakest that POSIX allows. A sync of a directory makes its own names durable, and no
    /// others. A rename of a file to another directory is two changes: after a power cut the file
    /// may have both names, or none.
    Posix,
}

impl FileSystem {
    /// Whether a direct write that makes its file longer is carried out within `io_submit`
    /// (`ext4_dio_write_iter` in `fs/ext4/file.c`).
    pub(crate) fn extends_within_submit(self) -> bool {
        self == Self::Ext4
    }

    /// `s_maxbytes`: the size that no file exceeds.
    pub(crate) fn max_bytes(self) -> u64 {
        match self {
            // With blocks of 4 KiB.
            Self::Ext4 => (1 << 44) - 4096,
            Self::Xfs | Self::Posix => i64::MAX as u64,
        }
    }
}

/// What kind of disk it is, with its file system. Made by [`ext4`](Self::ext4), [`xfs`](Self::xfs)
/// or [`posix`](Self::posix).
///
/// ```
/// use aio_sim::{DiskModel, World};
///
/// let world = World::new(1);
/// let disk = world.disk(DiskModel::xfs().sector(4096).capacity(1 << 20));
/// # drop(disk);
/// ```
#[derive(Clone, Debug)]
pub struct DiskModel {
    pub(crate) file_system: FileSystem,
    pub(crate) sector: usize,
    pub(crate) memory: usize,
    pub(crate) capacity: u64,
    pub(crate) delay: RangeInclusive<Duration>,
}

impl DiskModel {
    fn new(file_system: FileSystem) -> Self {
        Self {
            file_system,
            sector: 512,
            memory: 512,
            capacity: 1 << 40,
            delay: Duration::from_micros(20)..=Duration::from_micros(2000),
        }
    }

    /// A disk with [ext4](FileSystem::Ext4).
    #[must_use]
    pub fn ext4() -> Self {
        Self::new(FileSystem::Ext4)
    }

    /// A disk with [XFS](FileSystem::Xfs).
    #[must_use]
    pub fn xfs() -> Self {
        Self::new(FileSystem::Xfs)
    }

    /// A disk with the weakest file system that [POSIX](FileSystem::Posix) allows.
    #[must_use]
    pub fn posix() -> Self {
        Self::new(FileSystem::Posix)
    }

    /// The size of a sector in bytes: 512, which is the default, or 4096. Lengths and offsets of
    /// direct transfers are multiples of it. So are the addresses of their buffers, unless
    /// [`memory_alignment`](Self::memory_alignment) is called after this.
    ///
    /// # Panics
    ///
    /// When it is another number.
    #[must_use]
    pub fn sector(mut self, bytes: usize) -> Self {
        assert!(matches!(bytes, 512 | 4096), "a sector of {bytes} bytes");
        self.sector = bytes;
        self.memory = bytes;
        self
    }

    /// What the addresses of buffers of direct transfers are multiples of, in bytes. Many devices
    /// ask for 4 only.
    ///
    /// # Panics
    ///
    /// When it isn't a power of two.
    #[must_use]
    pub fn memory_alignment(mut self, bytes: usize) -> Self {
        assert!(bytes.is_power_of_two(), "an alignment of {bytes} bytes");
        self.memory = bytes;
        self
    }

    /// How many bytes the files have room for, in blocks of 4 KiB. 1 TiB if this isn't called.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// How long the device takes for a request, in virtual time. Short delays are more frequent.
    /// 20 µs to 2 ms if this isn't called. At most 4 s.
    #[must_use]
    pub fn delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.delay = range;
        self
    }
}
