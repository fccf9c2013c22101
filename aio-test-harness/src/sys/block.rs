//! Block devices.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// `BLKSSZGET` of `linux/fs.h`.
const BLKSSZGET: libc::Ioctl = libc::_IO(0x12, 104);

/// The size of a logical block of a block device, in bytes.
pub(crate) fn logical_block_size(device: &File) -> io::Result<u32> {
    let mut size: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `device` is, and BLKSSZGET stores one int (block/ioctl.c), for
    // which the third argument has room.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKSSZGET, &raw mut size) })?;
    u32::try_from(size).map_err(io::Error::other)
}
