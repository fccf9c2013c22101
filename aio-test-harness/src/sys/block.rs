//! The ioctls of block devices and files.

use std::{fs::File, io, os::fd::AsRawFd};

use super::check;

/// `BLKSSZGET` of `linux/fs.h`.
const BLKSSZGET: libc::Ioctl = libc::_IO(0x12, 104);

/// `BLKROSET` of `linux/fs.h`.
const BLKROSET: libc::Ioctl = libc::_IO(0x12, 93);

/// `FS_IOC_SETFLAGS` of `linux/fs.h`.
const FS_IOC_SETFLAGS: libc::Ioctl = libc::_IOW::<libc::c_long>(b'f' as u32, 2);

/// `FS_APPEND_FL` of `linux/fs.h`.
const FS_APPEND_FL: libc::c_int = 0x20;

/// The length of a block device's logical block in bytes.
pub(crate) fn logical_block_size(device: &File) -> io::Result<u32> {
    let mut size: libc::c_int = 0;
    // SAFETY: `device` keeps the descriptor open. BLKSSZGET stores one int (block/ioctl.c), for
    // which the third argument has room.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKSSZGET, &raw mut size) })?;
    u32::try_from(size).map_err(io::Error::other)
}

/// Forbids or allows writes to a block device (`BLKROSET`). It needs root.
pub(crate) fn set_read_only(device: &File, read_only: bool) -> io::Result<()> {
    let value = libc::c_int::from(read_only);
    // SAFETY: `device` keeps the descriptor open. BLKROSET reads one int (block/ioctl.c), which
    // outlives the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKROSET, &raw const value) }).map(drop)
}

/// Makes a file append-only, or takes the mark away (`chattr +a`). It needs root.
pub(crate) fn set_append_only(file: &File, append_only: bool) -> io::Result<()> {
    let value = if append_only { FS_APPEND_FL } else { 0 };
    // SAFETY: `file` keeps the descriptor open. FS_IOC_SETFLAGS reads one int (fs/ioctl.c,
    // `ioctl_setflags`), although its number says a long. The int outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_SETFLAGS, &raw const value) }).map(drop)
}
