//! What goes between the page cache and the device.

use std::{ops::Range, sync::Arc};

use super::{
    cache::{PAGE, overlap, pages_of},
    data::Data,
    inode::{DeviceWrite, InodeId},
    journal::Change,
    overlay::Unreadable,
    state::DiskState,
};

/// More than that of a file isn't volatile: the device writes the oldest to its medium.
const MOST_VOLATILE: usize = 1 << 20;
/// More changes aren't volatile: the file system commits them every few seconds.
const MOST_CHANGES: usize = 4096;

impl DiskState {
    /// Reads from the device, what it shows.
    pub(crate) fn device_read(
        &self,
        inode: InodeId,
        at: u64,
        to: &mut [u8],
    ) -> Result<(), Unreadable> {
        self.inodes[inode].device.read(at, to);
        self.overlay.show(inode, at, to)
    }

    /// Writes to the device. The file is as long already as the write makes it.
    pub(crate) fn device_write(&mut self, id: InodeId, at: u64, bytes: Data) {
        self.writes += 1;
        let inode = &mut self.inodes[id];
        self.overlay.heal(id, at, bytes.len());
        inode.device.write(at, &bytes);
        let after = inode.last_truncation;
        let end = (at + bytes.len() as u64).min(inode.size);
        inode.volatile_bytes += bytes.len();
        inode.volatile.push_back(DeviceWrite {
            number: self.writes,
            at,
            bytes,
            after,
        });
        if end > inode.device_size {
            inode.device_size = end;
            inode.last_change = self.journal.add(Change::Grow {
                inode: id,
                size: end,
                writes: self.writes,
            });
        }
        self.limit(id);
    }

    /// Makes the oldest things durable if too many aren't.
    fn limit(&mut self, id: InodeId) {
        let too_much = self.inodes[id].volatile_bytes > MOST_VOLATILE;
        if too_much || self.journal.changes.len() > MOST_CHANGES {
            self.commit_until(self.journal.last());
        }
        if too_much {
            let half = self.inodes[id].volatile.len() / 2;
            let middle = self.inodes[id].volatile.get(half);
            let number = middle.map_or(u64::MAX, |write| write.number);
            self.make_durable(id, number);
        }
    }

    /// What of a page goes to the device: it ends with the sector in which the file ends.
    pub(crate) fn page_to_write(&self, id: InodeId, index: u64) -> (u64, Data) {
        let inode = &self.inodes[id];
        let at = index * PAGE as u64;
        let size = inode.size.next_multiple_of(self.model.sector as u64);
        let len = size.saturating_sub(at).min(PAGE as u64) as usize;
        let bytes = match inode.cache.get(index) {
            Some(page) => Data::new(Arc::clone(page), 0..len),
            None => Data::from(&[][..]),
        };
        (at, bytes)
    }

    /// Writes a page to the device.
    pub(super) fn write_page(&mut self, id: InodeId, index: u64) {
        let (at, bytes) = self.page_to_write(id, index);
        self.device_write(id, at, bytes);
    }

    /// The pages of a range that the page cache doesn't have.
    pub(crate) fn missing(&self, id: InodeId, range: &Range<u64>) -> Vec<u64> {
        let cache = &self.inodes[id].cache;
        let pages = pages_of(range);
        pages.filter(|&index| cache.get(index).is_none()).collect()
    }

    /// Reads what is in the page cache, as far as it is there. Returns how many bytes that is.
    pub(crate) fn read_cached(&self, id: InodeId, at: u64, to: &mut [u8]) -> usize {
        let range = at..at + to.len() as u64;
        for index in pages_of(&range) {
            let (inside, place) = overlap(index, &range);
            match self.inodes[id].cache.get(index) {
                Some(page) => to[place].copy_from_slice(&page[inside]),
                None => return place.start,
            }
        }
        to.len()
    }

    /// Writes to the page cache, and makes the file longer if it has to. The pages that aren't
    /// written as a whole were read from the device before.
    pub(crate) fn write_cached(&mut self, id: InodeId, at: u64, from: &[u8]) {
        let range = at..at + from.len() as u64;
        let inode = &mut self.inodes[id];
        for index in pages_of(&range) {
            let (inside, place) = overlap(index, &range);
            if inode.cache.get(index).is_none() {
                inode.cache.insert(index, Arc::new([0; PAGE]));
            }
            if let Some(page) = inode.cache.get_to_change(index) {
                page[inside].copy_from_slice(&from[place]);
            }
        }
        inode.size = inode.size.max(range.end);
        if inode.cache.has_too_many_dirty() {
            for index in inode.cache.clean(&(0..u64::MAX)) {
                self.write_page(id, index);
            }
        }
    }

    /// What the file holds, whatever the device shows.
    pub(crate) fn contents(&self, id: InodeId) -> Vec<u8> {
        let inode = &self.inodes[id];
        let mut bytes = vec![0; inode.size as usize];
        let range = 0..inode.size;
        inode.device.read(0, &mut bytes);
        for index in pages_of(&range) {
            let (inside, place) = overlap(index, &range);
            if let Some(page) = inode.cache.get(index) {
                bytes[place].copy_from_slice(&page[inside]);
            }
        }
        bytes
    }

    /// Sets the length, by cutting off the end or by adding a hole.
    pub(crate) fn set_size(&mut self, id: InodeId, size: u64) {
        let inode = &mut self.inodes[id];
        if size < inode.size {
            inode.cache.cut(size);
            inode.device.cut(size);
            self.room += inode.blocks.cut(size);
        }
        inode.size = size;
        inode.device_size = size;
        let change = self.journal.add(Change::Truncate { inode: id, size });
        inode.last_change = change;
        inode.last_truncation = change;
    }
}
