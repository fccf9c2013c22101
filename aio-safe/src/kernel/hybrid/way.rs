//! The way of a request.

use aio_abi::{Iocb, Opcode, RwFlags};

use crate::kernel::threads::files::Class;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The real kernel, if it can be used, or else a worker.
    Native,
    /// At once if the data is in the page cache, otherwise a worker.
    PageCache,
    Worker,
}

impl Way {
    /// The way of a request. `class` finds the class of a file.
    pub(super) fn of(iocb: &Iocb, class: impl FnOnce(u32) -> Class) -> Self {
        if never_waits(iocb) {
            return Self::Native;
        }
        let reads = matches!(iocb.aio_lio_opcode, Opcode::PREAD | Opcode::PREADV);
        let writes = matches!(iocb.aio_lio_opcode, Opcode::PWRITE | Opcode::PWRITEV);
        let syncs = matches!(iocb.aio_lio_opcode, Opcode::FSYNC | Opcode::FDSYNC);
        // A read of no bytes waits for nothing. The queue's own requests are such, and have to
        // reach a thread that waits in the real kernel.
        if !(reads || writes || syncs) || (reads && iocb.aio_nbytes == 0) {
            return Self::Native;
        }
        match class(iocb.aio_fildes) {
            Class::Native => Self::Native,
            Class::Buffered if reads => Self::PageCache,
            // Workers carry the file's writes out. Only they know which come before a sync.
            Class::Buffered => Self::Worker,
            Class::Other if syncs => Self::Native,
            Class::Other => Self::Worker,
        }
    }
}

/// Whether the real kernel carries the request out without waiting, whatever its file is.
#[inline]
pub(super) fn never_waits(iocb: &Iocb) -> bool {
    iocb.aio_rw_flags.contains(RwFlags::NOWAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_way() {
        let read = Iocb::pread(3, std::ptr::null_mut(), 8, 0);
        let write = Iocb::pwrite(3, std::ptr::null_mut(), 8, 0);
        let asking = Iocb {
            aio_rw_flags: RwFlags::NOWAIT,
            ..read
        };
        let empty = Iocb::pread(3, std::ptr::null_mut(), 0, 0);
        let sync = Iocb::fsync(3);
        for (class, ways) in [
            (Class::Native, [Way::Native; 3]),
            (Class::Buffered, [Way::PageCache, Way::Worker, Way::Worker]),
            (Class::Other, [Way::Worker, Way::Worker, Way::Native]),
        ] {
            for (iocb, way) in [read, write, sync].iter().zip(ways) {
                assert_eq!(Way::of(iocb, |_| class), way, "{class:?} {iocb:?}");
            }
            for iocb in [empty, asking] {
                assert_eq!(Way::of(&iocb, |_| class), Way::Native);
            }
        }
    }
}
