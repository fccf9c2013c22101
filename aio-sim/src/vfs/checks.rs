//! The checks of the generic write path.

use aio_safe::Errno;

use super::Transfer;
use crate::{disk::inode::Inode, open::OpenId, world::State};

/// The bits of a mode that a write clears.
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;

/// `rw_verify_area` (`fs/read_write.c`).
///
/// # Errors
///
/// EINVAL for a negative position, or an end that overflows.
pub(crate) fn rw_verify_area(pos: i64, count: usize) -> Result<(), Errno> {
    let end = i64::try_from(count).map(|count| pos.checked_add(count));
    match end {
        Ok(Some(_)) if pos >= 0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

impl State {
    /// `generic_write_checks` (`fs/read_write.c`, before 5.x `mm/filemap.c`): where the write goes,
    /// and how much of it.
    ///
    /// # Errors
    ///
    /// EFBIG for a position at or behind a limit.
    pub(super) fn generic_write_checks(
        &self,
        file: OpenId,
        transfer: &mut Transfer,
    ) -> Result<(), Errno> {
        if transfer.count == 0 {
            return Ok(());
        }
        if transfer.kiocb.append {
            let size = self.inode_of(file).size;
            transfer.kiocb.pos = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
        }
        self.generic_write_check_limits(file, transfer)
    }

    /// `generic_write_check_limits` (`fs/read_write.c`): `RLIMIT_FSIZE`, and the largest offset. A
    /// write that begins before a limit ends at it.
    fn generic_write_check_limits(
        &self,
        file: OpenId,
        transfer: &mut Transfer,
    ) -> Result<(), Errno> {
        let disk = &self.disks[self.files.get(file).disk];
        let largest = disk.model.file_system.max_bytes();
        for limit in [self.file_size_limit, largest] {
            // The kernel sends SIGXFSZ too, at the first of them.
            let room = limit.checked_sub(transfer.start());
            match room {
                None | Some(0) => return Err(Errno::EFBIG),
                Some(room) => {
                    let room = usize::try_from(room).unwrap_or(usize::MAX);
                    transfer.count = transfer.count.min(room);
                }
            }
        }
        Ok(())
    }
}

/// `file_remove_privs` (`fs/inode.c`; `file_remove_suid` of old): a write takes the bits
/// set-user-id and set-group-id away. The latter stays if the group can't execute the file: it
/// means something else then.
pub(super) fn file_remove_privs(inode: &mut Inode) {
    inode.mode &= !S_ISUID;
    if inode.mode & S_IXGRP != 0 {
        inode.mode &= !S_ISGID;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_verified() {
        assert_eq!(rw_verify_area(0, 0), Ok(()));
        assert_eq!(rw_verify_area(i64::MAX - 512, 512), Ok(()));
        assert_eq!(rw_verify_area(i64::MAX - 511, 512), Err(Errno::EINVAL));
        assert_eq!(rw_verify_area(-1, 512), Err(Errno::EINVAL));
    }

    #[test]
    fn a_group_that_cannot_execute_keeps_its_bit() {
        for (before, after) in [(0o6755, 0o755), (0o6745, 0o2745), (0o644, 0o644)] {
            let mut inode = Inode::new(false, before);
            file_remove_privs(&mut inode);
            assert_eq!(inode.mode, after, "{before:o}");
        }
    }
}
