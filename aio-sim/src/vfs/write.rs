//! Writes: `generic_file_write_iter` (`mm/filemap.c`; `generic_file_aio_write` of old).

use std::ops::Range;

use aio_safe::Errno;

use super::{Progress, Transfer, checks::file_remove_privs};
use crate::{disk::faults::Place, fault::Fault, open::OpenId, world::State};

/// Once in so many times the kernel has written a dirty page to the device just before it is
/// changed again.
const WRITTEN_BEFORE: u32 = 8;

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
        if self.fires_at(Fault::WriteError, file) {
            return Progress::Over(Err(Errno::EIO));
        }
        let first = self.disks[self.files.get(file).disk].writes + 1;
        let written = self.generic_perform_write(file, transfer, 0..transfer.count);
        Progress::Over(self.generic_write_sync(file, transfer, first, written))
    }

    /// `generic_file_direct_write` (`mm/filemap.c`): direct I/O of a write, until the device has
    /// it.
    fn generic_file_direct_write(&mut self, file: OpenId, transfer: &mut Transfer) -> Progress {
        if !self.is_aligned(file, transfer) {
            return Progress::Over(Err(Errno::EINVAL));
        }
        match self.allocate(file, &transfer.range()) {
            Ok(count) => transfer.count = count,
            Err(errno) => return Progress::Over(Err(errno)),
        }
        // `kiocb_invalidate_pages`: what is dirty there is written first, then nothing is cached.
        self.filemap_write_and_wait_range(file, &transfer.range());
        self.invalidate(file, transfer);
        let extends = transfer.range().end > self.inode_of(file).size;
        let of = self.files.get(file);
        let waits = self.disks[of.disk]
            .model
            .file_system
            .extends_within_submit();
        // Appends that were in flight together would go to one place.
        match transfer.kiocb.append || extends && waits {
            true if transfer.kiocb.nowait => Progress::Over(Err(Errno::EAGAIN)),
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
        if self.fires_at(Fault::WriteError, file) {
            self.write_some(file, transfer);
            return Err(Errno::EIO);
        }
        let count = self.cut_short(file, transfer.count);
        let direct = match self.fires_at(Fault::Fallback, file) {
            true => self.some_sectors(file, count),
            false => count,
        };
        let first = self.disks[self.files.get(file).disk].writes + 1;
        let bytes = transfer.memory.copy(direct);
        if direct > 0 {
            let inode = self.inode_of_mut(file);
            inode.size = inode.size.max(transfer.start() + direct as u64);
        }
        self.write_device(self.place(file, transfer.start()), bytes);
        // `kiocb_invalidate_post_direct_write`: a read may have filled the cache meanwhile.
        self.invalidate(file, transfer);
        let written = match direct < count {
            true => self.direct_write_fallback(file, transfer, direct..count),
            false => Ok(direct),
        };
        self.generic_write_sync(file, transfer, first, written)
    }

    /// The device fails in the middle of a direct write. What it has written stays, but the file
    /// doesn't become longer (`iomap_dio_complete` in `fs/iomap/direct-io.c`).
    fn write_some(&mut self, file: OpenId, transfer: &Transfer) {
        let there = self.inode_of(file).size.saturating_sub(transfer.start());
        let sectors = self.some_sectors(file, transfer.count);
        let written = sectors.min(usize::try_from(there).unwrap_or(usize::MAX));
        let bytes = transfer.memory.copy(written);
        self.write_device(self.place(file, transfer.start()), bytes);
        self.invalidate(file, transfer);
    }

    /// `direct_write_fallback` (`mm/filemap.c`): what direct I/O left over goes through the page
    /// cache, to the device, and out of the cache.
    fn direct_write_fallback(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        rest: Range<usize>,
    ) -> Result<usize, Errno> {
        let direct = rest.start;
        match self.generic_perform_write(file, transfer, rest) {
            // What direct I/O has written counts, whatever became of the rest.
            Err(_) if direct > 0 => Ok(direct),
            Err(errno) => Err(errno),
            Ok(count) => {
                self.filemap_write_and_wait_range(file, &transfer.range());
                self.invalidate(file, transfer);
                Ok(direct + count)
            }
        }
    }

    /// `generic_perform_write` (`mm/filemap.c`): writes a part of the transfer to the page cache.
    /// Returns how many bytes it wrote.
    fn generic_perform_write(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        part: Range<usize>,
    ) -> Result<usize, Errno> {
        let at = transfer.start() + part.start as u64;
        let count = self.allocate(file, &(at..at + part.len() as u64))?;
        let range = at..at + count as u64;
        if self.choices.one_in(WRITTEN_BEFORE) {
            self.filemap_write_and_wait_range(file, &range);
        }
        self.inode_of_mut(file).cache.limit_clean();
        // `write_begin` of the first page and the last: what isn't written of them is read.
        for edge in [range.start, range.end] {
            self.write_begin(file, edge)?;
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(count, 0);
        transfer.memory.copy_from(part.start, &mut bytes);
        let Place { disk, inode, .. } = self.place(file, at);
        self.disks[disk].write_cached(inode, at, &bytes);
        self.scratch = bytes;
        Ok(count)
    }

    /// Allocates blocks for a range. Returns how many of its bytes there is room for.
    ///
    /// # Errors
    ///
    /// ENOSPC, EDQUOT: there is room for none.
    fn allocate(&mut self, file: OpenId, range: &Range<u64>) -> Result<usize, Errno> {
        let wanted = (range.end - range.start) as usize;
        for (fault, errno) in [
            (Fault::NoSpace, Errno::ENOSPC),
            (Fault::Quota, Errno::EDQUOT),
        ] {
            if self.fires_at(fault, file) {
                return match self.some_sectors(file, wanted) {
                    0 => Err(errno),
                    count => Ok(count),
                };
            }
        }
        let Place { disk, inode, .. } = self.place(file, 0);
        let disk = &mut self.disks[disk];
        let blocks = &mut disk.inodes[inode].blocks;
        match blocks.allocate(range, &mut disk.room) {
            0 => Err(Errno::ENOSPC),
            // Whole sectors, so that a direct write stays aligned.
            count if (count as usize) < wanted => match count as usize / 512 * 512 {
                0 => Err(Errno::ENOSPC),
                count => Ok(count),
            },
            _ => Ok(wanted),
        }
    }
}
