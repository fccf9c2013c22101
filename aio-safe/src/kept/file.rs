//! A file, and what is known of `RWF_NOWAIT` on it.

use std::{
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use aio_abi::{Iocb, Opcode, RwFlags};
use aio_sys::Errno;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct NowaitFile {
    file: std::fs::File,
    /// Whether reads with `RWF_NOWAIT` are of use.
    reads: AtomicBool,
    writes: AtomicBool,
}

impl NowaitFile {
    /// `reads` and `writes`: whether those with `RWF_NOWAIT` may be of use.
    pub(crate) fn new(file: std::fs::File, reads: bool, writes: bool) -> Self {
        Self {
            file,
            reads: AtomicBool::new(reads),
            writes: AtomicBool::new(writes),
        }
    }

    #[inline]
    pub(crate) fn file(&self) -> &std::fs::File {
        &self.file
    }

    pub(crate) fn into_file(self) -> std::fs::File {
        self.file
    }

    #[inline]
    fn of(&self, opcode: Opcode) -> &AtomicBool {
        match opcode {
            Opcode::PREAD | Opcode::PREADV => &self.reads,
            _ => &self.writes,
        }
    }

    /// Whether `RWF_NOWAIT` is of use for a request. It isn't on another file's descriptor: the
    /// operation may have been made for this file, and be submitted on another one. It isn't if the
    /// program has set the flag itself.
    #[inline]
    pub(crate) fn nowait_helps(&self, iocb: &Iocb) -> bool {
        iocb.aio_fildes == self.file.as_raw_fd() as u32
            && !iocb.aio_rw_flags.contains(RwFlags::NOWAIT)
            && self.of(iocb.aio_lio_opcode).load(Relaxed)
    }

    /// A request with `RWF_NOWAIT` failed with this errno.
    pub(crate) fn nowait_failed(&self, opcode: Opcode, errno: Errno) {
        // The file system or the device doesn't know the flag.
        if errno == Errno::EOPNOTSUPP {
            self.of(opcode).store(false, Relaxed);
        }
    }
}
