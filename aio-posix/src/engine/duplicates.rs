//! Descriptors of requests that wait: the program may close its own meanwhile.

use std::{
    collections::HashMap,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Arc, Weak},
};

use aio_safe::Errno;

use crate::fd::{Identity, identity_of};

/// The duplicates in use, by the program's descriptors. Requests on one file share one.
#[derive(Default)]
pub(super) struct Duplicates(HashMap<RawFd, (Identity, Weak<OwnedFd>)>);

impl Duplicates {
    /// A duplicate of a descriptor.
    ///
    /// # Errors
    ///
    /// EBADF if it isn't open. EAGAIN if the process has no descriptor left.
    pub(super) fn of(&mut self, file: BorrowedFd<'_>) -> Result<Arc<OwnedFd>, Errno> {
        let fd = file.as_raw_fd();
        let identity = identity_of(fd);
        if let (Some(now), Some((before, duplicate))) = (identity, self.0.get(&fd)) {
            if let (true, Some(duplicate)) = (now == *before, duplicate.upgrade()) {
                return Ok(duplicate);
            }
        }
        let duplicate = match file.try_clone_to_owned() {
            Ok(duplicate) => Arc::new(duplicate),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Err(Errno::EBADF),
            Err(_) => return Err(Errno::EAGAIN),
        };
        match identity {
            Some(identity) => self.0.insert(fd, (identity, Arc::downgrade(&duplicate))),
            None => self.0.remove(&fd),
        };
        Ok(duplicate)
    }
}
