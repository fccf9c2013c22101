//! Syncs, and what reads and writes share: writing dirty pages back, and waiting for the device.

use std::ops::Range;

use aio_safe::Errno;

use super::Transfer;
use crate::{disk::inode::Inode, open::OpenId, world::State};

impl State {
    pub(crate) fn inode_of(&self, file: OpenId) -> &Inode {
        let file = self.files.get(file);
        &self.disks[file.disk].inodes[file.inode]
    }

    pub(crate) fn inode_of_mut(&mut self, file: OpenId) -> &mut Inode {
        let file = self.files.get(file);
        &mut self.disks[file.disk].inodes[file.inode]
    }

    /// Whether a direct transfer is aligned as the disk needs it (`iomap_dio_bio_iter` in
    /// `fs/iomap/direct-io.c`).
    pub(super) fn is_aligned(&self, file: OpenId, transfer: &Transfer) -> bool {
        let model = &self.disks[self.files.get(file).disk].model;
        let sector = model.sector;
        transfer.start() % sector as u64 == 0
            && transfer.count % sector == 0
            && transfer.memory.is_aligned(model.memory, sector)
    }

    /// A part of so many bytes: some whole sectors, and not all of them.
    pub(super) fn some_sectors(&mut self, file: OpenId, count: usize) -> usize {
        let sector = self.disks[self.files.get(file).disk].model.sector;
        let sectors = count.div_ceil(sector) as u64;
        self.choices.draw(sectors) as usize * sector
    }

    /// `filemap_write_and_wait_range` (`mm/filemap.c`): writes dirty pages to the device.
    pub(super) fn filemap_write_and_wait_range(&mut self, file: OpenId, range: Range<u64>) {
        self.inode_of_mut(file).write_back(range);
    }

    /// `invalidate_inode_pages2_range` (`mm/truncate.c`): the page cache forgets what a direct
    /// write overlaps with.
    pub(super) fn invalidate(&mut self, file: OpenId, transfer: &Transfer) {
        self.inode_of_mut(file).cache.remove(transfer.range());
    }

    /// Lets the time pass that the device takes for a request.
    pub(super) fn wait_for_device(&mut self, file: OpenId) {
        let disk = &mut self.disks[self.files.get(file).disk];
        let end = disk.delays.end(self.agenda.now(), &mut self.choices);
        self.run_until(end);
    }

    /// `generic_write_sync` (`include/linux/fs.h`): the sync at the end that `O_DSYNC`, `O_SYNC` and
    /// their flags demand.
    pub(super) fn generic_write_sync(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        written: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        if let Ok(1..) = written {
            if transfer.kiocb.dsync {
                self.filemap_write_and_wait_range(file, transfer.range());
                if !transfer.kiocb.direct {
                    self.wait_for_device(file);
                }
            }
        }
        written
    }

    /// The device is done with an fsync or fdatasync: `vfs_fsync_range` (`fs/sync.c`).
    pub(crate) fn end_sync(&mut self, file: OpenId) -> Result<usize, Errno> {
        self.filemap_write_and_wait_range(file, 0..u64::MAX);
        Ok(0)
    }
}
