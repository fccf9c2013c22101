//! The way of a read, a write or a sync through the kernel, from the file's checks to the device.
//!
//! Each step has the name of the kernel's function that it stands for, and names its source file.
//! Where the names changed, they are those of Linux 6.x: [`generic_file_write_iter`] was
//! `generic_file_aio_write`, and its inner part `__generic_file_aio_write`, which took the iocb,
//! the iovecs, their number and the position.
//!
//! [`generic_file_write_iter`]: crate::world::State::generic_file_write_iter

mod checks;
mod prepare;
mod read;
mod sync;
mod write;

use std::ops::Range;

use aio_safe::Errno;

pub(crate) use self::{checks::rw_verify_area, prepare::aio_prep_rw};
use crate::memory::UserMemory;

/// What the kernel knows of a transfer besides its memory: `struct kiocb` in
/// `include/linux/fs.h`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kiocb {
    /// `ki_pos`.
    pub(crate) pos: i64,
    /// `IOCB_APPEND`, and so on for the others.
    pub(crate) append: bool,
    pub(crate) direct: bool,
    pub(crate) dsync: bool,
    pub(crate) sync: bool,
    pub(crate) nowait: bool,
}

/// A read or a write.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) kiocb: Kiocb,
    pub(crate) memory: UserMemory,
    /// How many of the memory's bytes are to be moved: fewer than it has if a limit cut a write
    /// short.
    pub(crate) count: usize,
}

impl Transfer {
    /// The offset in the file. The checks have refused negative ones.
    fn start(&self) -> u64 {
        self.kiocb.pos.unsigned_abs()
    }

    fn range(&self) -> Range<u64> {
        self.start()..self.start() + self.count as u64
    }
}

/// What became of a request within `io_submit`.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It is over: its event has this.
    Over(Result<usize, Errno>),
    /// The device works on it.
    Queued,
    /// The device works on it, and `io_submit` waits for that.
    Waited,
}
