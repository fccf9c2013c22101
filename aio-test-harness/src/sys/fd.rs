//! Pipes and eventfds.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use super::check;

/// Makes a pipe, and returns its reader and its writer.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let mut ends = [-1; 2];
    // SAFETY: the array has room for the two descriptors that pipe2 stores.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: pipe2 has just opened the descriptor, and nobody else owns it.
    let reader = unsafe { File::from_raw_fd(ends[0]) };
    // SAFETY: pipe2 has just opened the descriptor, and nobody else owns it.
    let writer = unsafe { File::from_raw_fd(ends[1]) };
    Ok((reader, writer))
}

/// Makes an eventfd with a count of 0. Its reads don't block.
pub(crate) fn eventfd() -> io::Result<File> {
    // SAFETY: eventfd takes two numbers and touches no memory.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: eventfd has just opened the descriptor, and nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Makes a named pipe.
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the string is null-terminated and outlives the call.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).map(drop)
}

/// Takes a file that was synced out of the page cache.
pub(crate) fn forget_pages(file: &File) -> io::Result<()> {
    // SAFETY: posix_fadvise takes numbers. It changes nothing of what the file contains.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
