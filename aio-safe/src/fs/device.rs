//! The size of a block device.

#![allow(unsafe_code, reason = "an ioctl that rustix doesn't have")]

use std::{io, os::fd::BorrowedFd};

use rustix::ioctl::{Getter, ioctl, opcode};

/// `BLKGETSIZE64`. The header declares it for a `size_t`, but the kernel writes 64 bits everywhere.
const BLKGETSIZE64: rustix::ioctl::Opcode = opcode::read::<usize>(0x12, 114);

/// The size of a block device in bytes.
pub(super) fn len(device: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: the number is BLKGETSIZE64, which writes a u64 to its argument and reads nothing.
    let size = unsafe { Getter::<BLKGETSIZE64, u64>::new() };
    // SAFETY: the caller's file is a block device, so its driver or the block layer gives the
    // number the meaning that it has for block devices. `size` has room for what is written.
    Ok(unsafe { ioctl(device, size) }?)
}
