//! A file that stays open while an operation on it is in flight, so that the operation can be
//! submitted a second time.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use aio_abi::Opcode;
use aio_sys::Errno;

/// See the [module](self).
#[derive(Debug)]
pub struct Kept {
    file: std::fs::File,
    /// Whether reads with `RWF_NOWAIT` are of use.
    reads: AtomicBool,
    writes: AtomicBool,
}

impl Kept {
    /// `reads` and `writes`: whether those with `RWF_NOWAIT` may be of use.
    pub(crate) fn new(file: std::fs::File, reads: bool, writes: bool) -> Self {
        Self {
            file,
            reads: AtomicBool::new(reads),
            writes: AtomicBool::new(writes),
        }
    }

    pub(crate) fn file(&self) -> &std::fs::File {
        &self.file
    }

    pub(crate) fn into_file(self) -> std::fs::File {
        self.file
    }

    fn of(&self, opcode: Opcode) -> &AtomicBool {
        match opcode {
            Opcode::PREAD | Opcode::PREADV => &self.reads,
            _ => &self.writes,
        }
    }

    /// Whether `RWF_NOWAIT` is of use for an operation that is submitted on this descriptor. It
    /// isn't on another file's: the operation may have been made for this file, and be submitted on
    /// another one.
    #[inline]
    pub(crate) fn nowait_helps(&self, fd: RawFd, opcode: Opcode) -> bool {
        fd == self.file.as_raw_fd() && self.of(opcode).load(Relaxed)
    }

    /// An operation with `RWF_NOWAIT` failed with this errno.
    pub(crate) fn nowait_failed(&self, opcode: Opcode, errno: Errno) {
        // The file system or the device doesn't know the flag.
        if errno == Errno::EOPNOTSUPP {
            self.of(opcode).store(false, Relaxed);
        }
    }
}
