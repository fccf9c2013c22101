//! Writes: `generic_file_write_iter` (`mm/filemap.c`; `generic_file_aio_write` of old).

use std::ops::Range;

use aio_safe::Errno;

use super::{Progress, Transfer, checks::file_remove_privs};
use crate::{fault::Fault, open::OpenId, world::State};

impl State {
    /// Begins a write.
    pub(crate) fn generic_file_write_iter(
        &mut self,
        file: OpenId,
        transfer: &mut Transfer,
    ) -> Progress {
        // `ext4_buffered_write_iter`; XFS does the same.
        if transfer.kiocb.nowait && !transfer.kiocb.direct {
            return Progress::Over(Err(Errno::EOPNOTSUPP));
        }
        if let Err(errno) = self.generic_write_checks(file, transfer) {
            return Progress::Over(Err(errno));
        }
        if transfer.count == 0 {
            return Progress::Over(Ok(0));
        }
        file_remove_privs(self.inode_of_mut(file));
        if transfer.kiocb.direct {
            return self.generic_file_direct_write(file, transfer);
        }
        let written = self.generic_perform_write(file, transfer, 0..transfer.count);
        Progress::Over(self.generic_write_sync(file, transfer, written))
    }

    /// `generic_file_direct_write` (`mm/filemap.c`): direct I/O of a write, until the device has
    /// it.
    fn generic_file_direct_write(&mut self, file: OpenId, transfer: &Transfer) -> Progress {
        if !self.is_aligned(file, transfer) {
            return Progress::Over(Err(Errno::EINVAL));
        }
        // `kiocb_invalidate_pages`: what is dirty there is written first, then nothing is cached.
        self.filemap_write_and_wait_range(file, transfer.range());
        self.invalidate(file, transfer);
        let extends = transfer.range().end > self.inode_of(file).size;
        let of = self.files.get(file);
        let waits = self.disks[of.disk]
            .model
            .file_system
            .extends_within_submit();
        // Appends that were in flight together would go to one place.
        match transfer.kiocb.append || extends && waits {
            true => Progress::Waited,
            false => Progress::Queued,
        }
    }

    /// The device is done with a direct write.
    pub(crate) fn end_direct_write(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
    ) -> Result<usize, Errno> {
        let mut count = transfer.count;
        if self.fires(Fault::ShortTransfer) {
            count = self.some_sectors(file, count);
        }
        let direct = match self.fires(Fault::Fallback) {
            true => self.some_sectors(file, count),
            false => count,
        };
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(direct, 0);
        transfer.memory.copy_from(0, &mut bytes);
        let inode = self.inode_of_mut(file);
        inode.device.write(transfer.start(), &bytes);
        let end = transfer.start() + direct as u64;
        inode.size = inode.size.max(end);
        self.scratch = bytes;
        // `kiocb_invalidate_post_direct_write`: a read may have filled the cache meanwhile.
        self.invalidate(file, transfer);
        let written = match direct < count {
            true => self.direct_write_fallback(file, transfer, direct, count),
            false => Ok(direct),
        };
        self.generic_write_sync(file, transfer, written)
    }

    /// `direct_write_fallback` (`mm/filemap.c`): what direct I/O left over goes through the page
    /// cache, to the device, and out of the cache.
    fn direct_write_fallback(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        direct: usize,
        count: usize,
    ) -> Result<usize, Errno> {
        match self.generic_perform_write(file, transfer, direct..count) {
            // What direct I/O has written counts, whatever became of the rest.
            Err(_) if direct > 0 => return Ok(direct),
            written => written?,
        };
        self.filemap_write_and_wait_range(file, transfer.range());
        self.invalidate(file, transfer);
        Ok(count)
    }

    /// `generic_perform_write` (`mm/filemap.c`): writes a part of the transfer to the page cache.
    /// Returns how many bytes it wrote.
    fn generic_perform_write(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        part: Range<usize>,
    ) -> Result<usize, Errno> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(part.len(), 0);
        transfer.memory.copy_from(part.start, &mut bytes);
        let inode = self.inode_of_mut(file);
        let written = inode.write_cached(transfer.start() + part.start as u64, &bytes);
        self.scratch = bytes;
        written.map(|()| part.len())
    }
}
