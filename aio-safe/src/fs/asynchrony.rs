//! Whether a file's transfers are asynchronous.

use std::{fmt, os::fd::BorrowedFd};

use rustix::fs::FileType;

use super::probe;

/// Whether the kernel carries out a file's reads and writes while the program runs on, and why. The
/// answer of [`File::asynchrony`](crate::fs::File::asynchrony).
///
/// | a direct file on | its transfers are |
/// |---|---|
/// | a block device, ext2, ext3, ext4, XFS, F2FS, NFS | asynchronous |
/// | tmpfs, ramfs | synchronous |
/// | [Btrfs](Storage::Btrfs), FUSE, overlayfs, other file systems | unknown |
///
/// Even an asynchronous transfer may block the submitter, sometimes until the disk is done. It does
/// so if the device's queue is full, if a write allocates blocks or makes the file longer, or if
/// metadata has to be read first. [`File::allocate`](crate::fs::File::allocate) before the writes
/// helps against the second case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asynchrony {
    /// Direct transfers go on while the program does.
    Asynchronous(Storage),
    /// The file is buffered: the kernel carries out each transfer within `io_submit`, and the
    /// submitter waits for the disk.
    Buffered,
    /// Each transfer is over when `io_submit` returns, although the file is direct.
    Synchronous(Storage),
    /// The file is direct. Whether its transfers are asynchronous depends on what is below its file
    /// system, or isn't known. Measure how long `io_submit` takes.
    Unknown(Storage),
}

/// What a file is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// The file is a block device.
    BlockDevice,
    /// ext2, ext3 or ext4, which can't be told apart.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs. Its direct reads are asynchronous. Since Linux 6.14 or 6.15 it buffers the direct
    /// writes of files that have checksums, which is the default: such a write is carried out
    /// within `io_submit`. Files without copy-on-write (`chattr +C`) have no checksums.
    Btrfs,
    /// F2FS.
    F2fs,
    /// NFS.
    Nfs,
    /// tmpfs or ramfs: memory.
    Memory,
    /// A file system in user space.
    Fuse,
    /// An overlay over other file systems, as in containers.
    Overlay,
    /// Another file system: its number from `statfs(2)`, or 0 if that failed.
    Other(u64),
    /// Neither a regular file nor a block device.
    NoFile,
}

impl Storage {
    /// The file system with this number.
    pub(super) fn of_magic(magic: u64) -> Self {
        match magic & 0xffff_ffff {
            0xef53 => Self::Ext,
            0x5846_5342 => Self::Xfs,
            0x9123_683e => Self::Btrfs,
            0xf2f5_2010 => Self::F2fs,
            0x6969 => Self::Nfs,
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            0x6573_5546 => Self::Fuse,
            0x794c_7630 => Self::Overlay,
            other => Self::Other(other),
        }
    }

    fn of(file: BorrowedFd<'_>) -> Self {
        match probe::file_type(file) {
            Some(FileType::BlockDevice) => Self::BlockDevice,
            Some(FileType::RegularFile) => {
                // A device node has the file system of its directory, so the type comes first.
                let stat = rustix::fs::fstatfs(file);
                stat.map_or(Self::Other(0), |stat| Self::of_magic(stat.f_type as u64))
            }
            _ => Self::NoFile,
        }
    }
}

impl Asynchrony {
    pub(super) fn of(file: BorrowedFd<'_>, direct: bool) -> Self {
        match Storage::of(file) {
            Storage::NoFile => Self::Synchronous(Storage::NoFile),
            _ if !direct => Self::Buffered,
            on => Self::of_direct(on),
        }
    }

    fn of_direct(on: Storage) -> Self {
        match on {
            Storage::BlockDevice | Storage::Ext | Storage::Xfs | Storage::F2fs | Storage::Nfs => {
                Self::Asynchronous(on)
            }
            Storage::Memory | Storage::NoFile => Self::Synchronous(on),
            Storage::Btrfs | Storage::Fuse | Storage::Overlay | Storage::Other(_) => {
                Self::Unknown(on)
            }
        }
    }

    /// Whether transfers are known to be asynchronous.
    pub fn is_asynchronous(self) -> bool {
        matches!(self, Self::Asynchronous(_))
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlockDevice => "a block device",
            Self::Ext => "ext2, ext3 or ext4",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::F2fs => "F2FS",
            Self::Nfs => "NFS",
            Self::Memory => "a file system in memory",
            Self::Fuse => "a file system in user space (FUSE)",
            Self::Overlay => "an overlay file system",
            Self::Other(magic) => return write!(f, "a file system with the number {magic:#x}"),
            Self::NoFile => "neither a regular file nor a block device",
        })
    }
}

impl fmt::Display for Asynchrony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asynchronous(on) => write!(f, "asynchronous: direct I/O on {on}"),
            Self::Buffered => f.write_str("not asynchronous: the file has no direct I/O"),
            Self::Synchronous(on) => write!(f, "not asynchronous: {on}"),
            Self::Unknown(on) => write!(f, "perhaps asynchronous: direct I/O on {on}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_file_systems_are_those_of_the_kernel() {
        for (magic, on) in [
            (libc::EXT4_SUPER_MAGIC as u64, Storage::Ext),
            (libc::XFS_SUPER_MAGIC as u64, Storage::Xfs),
            (libc::BTRFS_SUPER_MAGIC as u64, Storage::Btrfs),
            (libc::F2FS_SUPER_MAGIC as u64, Storage::F2fs),
            (libc::NFS_SUPER_MAGIC as u64, Storage::Nfs),
            (libc::TMPFS_MAGIC as u64, Storage::Memory),
            (libc::FUSE_SUPER_MAGIC as u64, Storage::Fuse),
            (libc::OVERLAYFS_SUPER_MAGIC as u64, Storage::Overlay),
            (1, Storage::Other(1)),
            // As a signed number of 32 bits, which it is on 32-bit machines.
            (0x9123_683e_u32 as i32 as u64, Storage::Btrfs),
        ] {
            assert_eq!(Storage::of_magic(magic), on, "{magic:#x}");
        }
    }

    #[test]
    fn direct_transfers_are_asynchronous_only_where_that_is_known() {
        assert!(Asynchrony::of_direct(Storage::Ext).is_asynchronous());
        assert!(Asynchrony::of_direct(Storage::BlockDevice).is_asynchronous());
        assert!(!Asynchrony::of_direct(Storage::Memory).is_asynchronous());
        for on in [Storage::Overlay, Storage::Fuse, Storage::Other(7)] {
            assert_eq!(Asynchrony::of_direct(on), Asynchrony::Unknown(on));
        }
    }
}
