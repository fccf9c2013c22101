//! Syncs, and what reads and writes share: pages that go to the device and come from it.

use std::{ops::Range, sync::Arc};

use aio_safe::Errno;

use super::Transfer;
use crate::{
    disk::{cache::PAGE, durable::Covered, faults::Place, inode::Inode},
    fault::Fault,
    open::OpenId,
    world::State,
};

impl State {
    /// A place in an open file.
    pub(crate) fn place(&self, file: OpenId, at: u64) -> Place {
        let file = self.files.get(file);
        Place {
            disk: file.disk,
            inode: file.inode,
            at,
        }
    }

    pub(crate) fn inode_of(&self, file: OpenId) -> &Inode {
        let file = self.files.get(file);
        &self.disks[file.disk].inodes[file.inode]
    }

    pub(crate) fn inode_of_mut(&mut self, file: OpenId) -> &mut Inode {
        let file = self.files.get(file);
        &mut self.disks[file.disk].inodes[file.inode]
    }

    /// Whether the file's disk has had power since the file was opened.
    pub(crate) fn is_alive(&self, file: OpenId) -> bool {
        let file = self.files.get(file);
        let disk = &self.disks[file.disk];
        disk.is_on && disk.cuts == file.cuts
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

    /// How much a direct transfer of so many bytes moves: some of its sectors if it is short. It
    /// isn't 0, which would be the end of the file.
    pub(super) fn cut_short(&mut self, file: OpenId, count: usize) -> usize {
        let sector = self.disks[self.files.get(file).disk].model.sector;
        match count > sector && self.fires_at(Fault::ShortTransfer, file) {
            true => sector + self.some_sectors(file, count - sector),
            false => count,
        }
    }

    /// `filemap_write_and_wait_range` (`mm/filemap.c`): writes dirty pages to the device.
    pub(super) fn filemap_write_and_wait_range(&mut self, file: OpenId, range: &Range<u64>) {
        let Place { disk, inode, .. } = self.place(file, 0);
        for index in self.disks[disk].inodes[inode].cache.clean(range) {
            let (at, bytes) = self.disks[disk].page_to_write(inode, index);
            self.write_device(Place { disk, inode, at }, bytes);
        }
    }

    /// `read_folio`: reads a page from the device into the page cache.
    pub(super) fn read_folio(&mut self, file: OpenId, index: u64) -> Result<(), Errno> {
        let mut bytes = [0; PAGE];
        self.read_device(self.place(file, index * PAGE as u64), &mut bytes)?;
        self.inode_of_mut(file).cache.insert(index, Arc::new(bytes));
        Ok(())
    }

    /// `write_begin` for an end of a write: the page has to be cached, if the end is inside of a
    /// page of the file.
    pub(super) fn write_begin(&mut self, file: OpenId, edge: u64) -> Result<(), Errno> {
        let index = edge / PAGE as u64;
        let inode = self.inode_of(file);
        let is_needed = edge % PAGE as u64 != 0
            && index * (PAGE as u64) < inode.size
            && inode.cache.get(index).is_none();
        match is_needed {
            true => self.read_folio(file, index),
            false => Ok(()),
        }
    }

    /// `invalidate_inode_pages2_range` (`mm/truncate.c`): the page cache forgets what a direct
    /// write overlaps with.
    ///
    /// It keeps a page that became dirty while the write was in flight. Then the page and the
    /// device may differ, which the next sync reports (`dio_warn_stale_pagecache`).
    pub(super) fn invalidate(&mut self, file: OpenId, transfer: &Transfer) {
        let inode = self.inode_of_mut(file);
        if !inode.cache.remove_clean(&transfer.range()) {
            inode.set_error();
        }
    }

    /// Lets the time pass that the device takes for a request.
    ///
    /// # Errors
    ///
    /// EIO: the power was cut meanwhile.
    pub(super) fn wait_for_device(&mut self, file: OpenId) -> Result<(), Errno> {
        let end = self.device_takes_until(file);
        self.run_until(end);
        match self.is_alive(file) {
            true => Ok(()),
            false => Err(Errno::EIO),
        }
    }

    /// `generic_write_sync` (`include/linux/fs.h`): the sync at the end that `O_DSYNC`, `O_SYNC`
    /// and their flags demand. The write's first write to the device has the number `first`.
    pub(super) fn generic_write_sync(
        &mut self,
        file: OpenId,
        transfer: &Transfer,
        first: u64,
        written: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        if !transfer.kiocb.dsync || !matches!(written, Ok(1..)) {
            return written;
        }
        self.write_back_or_fail(file, &transfer.range());
        if !transfer.kiocb.direct {
            self.wait_for_device(file)?;
        }
        self.tell_error(file)?;
        let Place { disk, inode, .. } = self.place(file, 0);
        let disk = &mut self.disks[disk];
        for number in first..=disk.writes {
            disk.sync_write(inode, number);
        }
        written
    }

    /// Begins an fsync or fdatasync: what is dirty goes to the device. Returns what it covers.
    pub(crate) fn begin_sync(&mut self, file: OpenId) -> Covered {
        self.write_back_or_fail(file, &(0..u64::MAX));
        let Place { disk, inode, .. } = self.place(file, 0);
        self.disks[disk].covered(inode)
    }

    /// The device is done with an fsync or fdatasync: `vfs_fsync_range` (`fs/sync.c`).
    pub(crate) fn end_sync(&mut self, file: OpenId, covered: Covered) -> Result<usize, Errno> {
        self.tell_error(file)?;
        let Place { disk, inode, .. } = self.place(file, 0);
        self.disks[disk].sync(inode, covered);
        Ok(0)
    }

    /// Writes dirty pages back. If that fails, they are clean all the same, and what was written to
    /// the device before may be lost (`mapping_set_error` in `include/linux/pagemap.h`).
    fn write_back_or_fail(&mut self, file: OpenId, range: &Range<u64>) {
        if !self.fires_at(Fault::SyncError, file) {
            self.filemap_write_and_wait_range(file, range);
            return;
        }
        let Place { disk, inode, .. } = self.place(file, 0);
        let inode = &mut self.disks[disk].inodes[inode];
        inode.cache.clean(range);
        inode.fail_writeback(&mut self.choices);
    }

    /// `file_check_and_advance_wb_err` (`mm/filemap.c`): an error of writeback is reported once to
    /// each open file.
    fn tell_error(&mut self, file: OpenId) -> Result<(), Errno> {
        let Place { disk, inode, .. } = self.place(file, 0);
        let seen = &mut self.files.get_mut(file).errors_seen;
        match self.disks[disk].inodes[inode].tell_error(seen) {
            true => Err(Errno::EIO),
            false => Ok(()),
        }
    }
}
