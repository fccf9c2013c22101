//! Reads: `generic_file_read_iter` (`mm/filemap.c`).

use aio_safe::Errno;

use super::{Progress, Transfer};
use crate::{disk::faults::Place, open::OpenId, world::State};

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
        self.filemap_write_and_wait_range(file, &transfer.range());
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
        let count = self.before_the_end(file, transfer);
        let count = self.cut_short(file, count);
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(count, 0);
        let read = self.read_device(self.place(file, transfer.start()), &mut bytes);
        if read.is_ok() {
            transfer.memory.copy_to(0, &bytes);
        }
        self.scratch = bytes;
        read.map(|()| count)
    }

    /// How many of a read's bytes the file has.
    fn before_the_end(&self, file: OpenId, transfer: &Transfer) -> usize {
        let left = self.inode_of(file).size.saturating_sub(transfer.start());
        transfer
            .count
            .min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// `filemap_read` (`mm/filemap.c`): a read through the page cache.
    fn filemap_read(&mut self, file: OpenId, transfer: &Transfer) -> Result<usize, Errno> {
        let count = self.before_the_end(file, transfer);
        self.inode_of_mut(file).cache.limit_clean();
        let Place { disk, inode, at } = self.place(file, transfer.start());
        let mut error = None;
        // A direct write that is over meanwhile makes the kernel drop pages, and read them again.
        while error.is_none() {
            let missing = self.disks[disk].missing(inode, &(at..at + count as u64));
            if missing.is_empty() {
                break;
            }
            error = missing
                .iter()
                .find_map(|&page| self.read_folio(file, page).err());
            // The pages are read all the same, and are there the next time.
            if transfer.kiocb.nowait {
                return Err(Errno::EAGAIN);
            }
            self.wait_for_device(file)?;
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(count, 0);
        let read = self.disks[disk].read_cached(inode, at, &mut bytes);
        transfer.memory.copy_to(0, &bytes[..read]);
        self.scratch = bytes;
        match error {
            // What comes before the page that can't be read is a short read.
            Some(errno) if read == 0 => Err(errno),
            _ => Ok(read),
        }
    }
}
