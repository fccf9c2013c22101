//! What the kernel says of descriptors by their number.

#![allow(
    unsafe_code,
    reason = "asks the kernel about numbers that programs name"
)]

use std::{mem::MaybeUninit, os::fd::RawFd};

use aio_safe::Errno;

/// The device and the inode. `None` if nothing is open by that number.
pub(crate) fn file_of(fd: RawFd) -> Option<(u64, u64)> {
    stat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

/// What makes two open files the same for transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    file: (u64, u64),
    flags: i32,
}

/// The identity of an open file. `None` if nothing is open by that number, or if the inode doesn't
/// tell such files apart: eventfds, for example, or masters of terminals.
pub(crate) fn identity_of(fd: RawFd) -> Option<Identity> {
    let stat = stat(fd)?;
    let is_known = matches!(
        stat.st_mode & libc::S_IFMT,
        libc::S_IFREG | libc::S_IFBLK | libc::S_IFIFO | libc::S_IFSOCK
    );
    let flags = flags_of(fd).ok()?;
    is_known.then_some(Identity {
        file: (stat.st_dev, stat.st_ino),
        flags,
    })
}

/// Whether a directory is open by that number.
pub(crate) fn is_directory(fd: RawFd) -> bool {
    stat(fd).is_some_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn stat(fd: RawFd) -> Option<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is writable.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so it has written all of it.
    Some(unsafe { stat.assume_init() })
}

/// The flags of an open file (`O_APPEND` and so on).
///
/// # Errors
///
/// EBADF if nothing is open by that number.
pub(crate) fn flags_of(fd: RawFd) -> Result<i32, Errno> {
    // SAFETY: the call touches no memory.
    match unsafe { libc::fcntl(fd, libc::F_GETFL) } {
        flags @ 0.. => Ok(flags),
        _ => Err(last_errno()),
    }
}

/// The errno of this thread's last call.
pub(crate) fn last_errno() -> Errno {
    errno_of(&std::io::Error::last_os_error())
}

/// The errno of an error.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error
        .raw_os_error()
        .and_then(Errno::from_raw)
        .unwrap_or(Errno::EIO)
}
