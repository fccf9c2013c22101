//! What `io_submit` checks of a transfer itself, before the file sees it.

use aio_abi::{IoPrioClass, Iocb, IocbFlags, RwFlags};
use aio_safe::Errno;
use rustix::fs::OFlags;

use super::Kiocb;
use crate::{open::OpenFile, world::State};

/// Every flag of a transfer that the newest kernel knows.
const RWF_SUPPORTED: RwFlags = RwFlags::HIPRI
    .union(RwFlags::DSYNC)
    .union(RwFlags::SYNC)
    .union(RwFlags::NOWAIT)
    .union(RwFlags::APPEND)
    .union(RwFlags::NOAPPEND)
    .union(RwFlags::ATOMIC)
    .union(RwFlags::DONTCACHE)
    .union(RwFlags::NOSIGNAL);

/// `aio_prep_rw` (`fs/aio.c`).
///
/// # Errors
///
/// As `ioprio_check_cap` and `kiocb_set_rw_flags`.
pub(crate) fn aio_prep_rw(file: &OpenFile, iocb: &Iocb) -> Result<Kiocb, Errno> {
    let mut kiocb = iocb_flags(file);
    kiocb.pos = iocb.aio_offset;
    if iocb.aio_flags.contains(IocbFlags::IOPRIO) {
        ioprio_check_cap(iocb)?;
    }
    kiocb_set_rw_flags(&mut kiocb, iocb.aio_rw_flags)?;
    Ok(kiocb)
}

/// `iocb_flags` (`include/linux/fs.h`): what the flags of `open` mean for a transfer.
fn iocb_flags(file: &OpenFile) -> Kiocb {
    Kiocb {
        pos: 0,
        append: file.flags.contains(OFlags::APPEND),
        direct: file.flags.contains(OFlags::DIRECT),
        dsync: file.flags.contains(OFlags::DSYNC),
        sync: file.flags.contains(OFlags::SYNC),
        nowait: false,
    }
}

/// `ioprio_check_cap` (`block/ioprio.c`), for a process without capabilities.
fn ioprio_check_cap(iocb: &Iocb) -> Result<(), Errno> {
    let priority = iocb.aio_reqprio;
    match priority.class() {
        IoPrioClass::RT => Err(Errno::EPERM),
        IoPrioClass::NONE if priority.level() != 0 => Err(Errno::EINVAL),
        IoPrioClass::NONE | IoPrioClass::BE | IoPrioClass::IDLE => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// `kiocb_set_rw_flags` (`include/linux/fs.h`).
fn kiocb_set_rw_flags(kiocb: &mut Kiocb, flags: RwFlags) -> Result<(), Errno> {
    if !RWF_SUPPORTED.contains(flags) {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags.contains(RwFlags::APPEND | RwFlags::NOAPPEND) {
        return Err(Errno::EINVAL);
    }
    // No simulated file can have atomic writes.
    if flags.contains(RwFlags::ATOMIC) {
        return Err(Errno::EOPNOTSUPP);
    }
    kiocb.nowait |= flags.contains(RwFlags::NOWAIT);
    kiocb.sync |= flags.contains(RwFlags::SYNC);
    kiocb.dsync |= flags.intersects(RwFlags::DSYNC | RwFlags::SYNC);
    kiocb.append |= flags.contains(RwFlags::APPEND);
    kiocb.append &= !flags.contains(RwFlags::NOAPPEND);
    Ok(())
}

impl State {
    /// Whether the open file can have transfers at all: a directory has neither `read_iter` nor
    /// `write_iter`.
    pub(crate) fn has_iter(&self, file: &OpenFile) -> bool {
        !self.disks[file.disk].inodes[file.inode].is_directory
    }
}
