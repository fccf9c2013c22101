//! Telling open files apart that have one inode: eventfds, for example, or masters of terminals.
//!
//! Such a file is known by its descriptor's number as long as it has requests. A number that was
//! closed may be another file's, so the kernel is asked whether it is still the same open file.

#![allow(unsafe_code, reason = "compares descriptors")]

use std::{
    collections::HashMap,
    ffi::{c_int, c_long},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Arc, Weak},
};

use aio_sys::Errno;

use crate::sync::{Mutex, lock};

/// The inode's device, the inode, and the descriptor's number.
type Key = ((u32, u32), u64, u32);

/// The open files that have requests.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<State>);

#[derive(Default)]
struct State {
    files: HashMap<Key, Vec<Weak<OpenFile>>>,
    /// How many open files there were.
    count: u64,
}

/// An open file. Its requests share it.
pub(super) struct OpenFile {
    files: Arc<OpenFiles>,
    key: Key,
    fd: OwnedFd,
    /// What tells it apart.
    pub(super) number: u64,
}

impl OpenFiles {
    /// The open file that had this number and has requests, or a new one.
    ///
    /// # Errors
    ///
    /// EAGAIN if the process has no descriptor left.
    pub(super) fn find(
        self: &Arc<Self>,
        key: Key,
        fd: BorrowedFd<'_>,
    ) -> Result<Arc<OpenFile>, Errno> {
        // The last one of a file takes the lock when it is dropped. So these outlive the lock.
        let mut known = Vec::new();
        let mut state = lock(&self.0);
        let state = &mut *state;
        if let Some(files) = state.files.get(&key) {
            known.extend(files.iter().filter_map(Weak::upgrade));
        }
        let fd_of = |file: &Arc<OpenFile>| file.fd.as_raw_fd();
        if let Some(n) = known
            .iter()
            .position(|file| is_same(fd_of(file), fd.as_raw_fd()))
        {
            return Ok(known.swap_remove(n));
        }
        // EMFILE: some descriptors become free when requests are over.
        let fd = fd.try_clone_to_owned().map_err(|_| Errno::EAGAIN)?;
        state.count += 1;
        let file = Arc::new(OpenFile {
            files: Arc::clone(self),
            key,
            fd,
            number: state.count,
        });
        let files = state.files.entry(key).or_default();
        files.push(Arc::downgrade(&file));
        Ok(file)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut state = lock(&self.files.0);
        if let Some(files) = state.files.get_mut(&self.key) {
            files.retain(|file| file.strong_count() > 0);
            if files.is_empty() {
                state.files.remove(&self.key);
            }
        }
    }
}

/// Whether two descriptors of this process are of one open file. If the kernel doesn't tell, they
/// are taken for it.
fn is_same(one: RawFd, other: RawFd) -> bool {
    /// Since Linux 6.10.
    const F_DUPFD_QUERY: c_int = 1027;
    const KCMP_FILE: c_int = 0;
    // SAFETY: the call touches no memory of ours.
    let answer = unsafe { libc::fcntl(one, F_DUPFD_QUERY, other) };
    if answer >= 0 {
        return answer == 1;
    }
    let process = std::process::id() as c_int;
    let (one, other) = (c_long::from(one), c_long::from(other));
    // SAFETY: the call touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, one, other) };
    answer <= 0
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    const KEY: Key = ((0, 0), 1, 7);

    #[test]
    fn an_open_file_is_known_as_long_as_it_has_requests() {
        let files = Arc::new(OpenFiles::default());
        let null = || File::open("/dev/null").unwrap();
        let (one, other) = (null(), null());
        let first = files.find(KEY, one.as_fd()).unwrap();
        let duplicate = one.try_clone().unwrap();
        let again = files.find(KEY, duplicate.as_fd()).unwrap();
        assert_eq!(first.number, again.number);
        let second = files.find(KEY, other.as_fd()).unwrap();
        assert_ne!(first.number, second.number);
        drop((one, first));
        let still = files.find(KEY, duplicate.as_fd()).unwrap();
        assert_eq!(still.number, again.number);
        drop((again, still, second));
        assert!(lock(&files.0).files.is_empty());
    }
}
