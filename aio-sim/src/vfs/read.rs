//! Reads: `generic_file_read_iter` (`mm/filemap.c`).

use aio_safe::Errno;

use super::{Progress, Transfer};
use crate::{fault::Fault, open::OpenId, world::State};

impl State {
    /// Begins a read.
    pub(crate) fn generic_file_read_iter(&mut self, file: OpenId, transfer: &Transfer) -> Progress {
        if transfer.count == 0 {
            return Progress::Over(Ok(0));
        }
        if transfer.kiocb.direct {
            return self.direct_read(file, transfer);
        }
        Progress::Over(self.filemap_read(file, transfer))
    }

    /// Direct I/O of a read, until the device has it.
    fn direct_read(&mut self, file: OpenId, transfer: &Transfer) -> Progress {
        // `kiocb_write_and_wait`: the device has to have what is dirty in the page cache.
        self.filemap_write_and_wait_range(file, transfer.range());
        if transfer.start() >= self.inode_of(file).size {
            return Progress::Over(Ok(0));
        }
        if !self.is_aligned(file, transfer) {
            return Progress::Over(Err(Errno::EINVAL));
        }
        Progress::Queued
    }

    /// The device is done with a direct read.
    pub(crate) fn end_direct_read(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
    ) -> Result<usize, Errno> {
        let size = self.inode_of(file).size;
        let left = size.saturating_sub(transfer.start());
        let mut count = transfer
            .count
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.fires(Fault::ShortTransfer) {
            count = self.some_sectors(file, count);
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(count, 0);
        self.inode_of(file)
            .device
            .read(transfer.start(), &mut bytes);
        transfer.memory.copy_to(0, &bytes);
        self.scratch = bytes;
        Ok(count)
    }

    /// `filemap_read` (`mm/filemap.c`): a read through the page cache.
    fn filemap_read(&mut self, file: OpenId, transfer: &Transfer) -> Result<usize, Errno> {
        let size = self.inode_of(file).size;
        let left = size.saturating_sub(transfer.start());
        let count = transfer
            .count
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(count, 0);
        let missed = self
            .inode_of_mut(file)
            .read_cached(transfer.start(), &mut bytes);
        if missed.is_ok() {
            transfer.memory.copy_to(0, &bytes);
        }
        self.scratch = bytes;
        if missed? {
            if transfer.kiocb.nowait {
                return Err(Errno::EAGAIN);
            }
            self.wait_for_device(file);
        }
        Ok(count)
    }
}
