//! A file on a disk: what programs see of it.

use std::ops::Range;

use aio_safe::Errno;

use super::{
    bytes::Bytes,
    cache::{PAGE, PageCache, pages_of},
};

/// The index of an inode on its disk.
pub(crate) type InodeId = usize;

/// See the [module](self).
pub(crate) struct Inode {
    pub(crate) is_directory: bool,
    /// The permissions, with the bits set-user-id and set-group-id.
    pub(crate) mode: u32,
    /// `i_size`: the length in bytes that programs see.
    pub(crate) size: u64,
    pub(crate) cache: PageCache,
    /// What the device holds.
    pub(crate) device: Bytes,
}

impl Inode {
    pub(crate) fn new(is_directory: bool, mode: u32) -> Self {
        Self {
            is_directory,
            mode,
            size: 0,
            cache: PageCache::default(),
            device: Bytes::default(),
        }
    }

    /// Reads through the page cache. Returns whether the device was needed.
    pub(crate) fn read_cached(&mut self, at: u64, to: &mut [u8]) -> Result<bool, Errno> {
        let range = at..at + to.len() as u64;
        let mut missed = false;
        for index in pages_of(range.clone()) {
            let (inside, place) = overlap(index, &range);
            let page = match self.cache.get_mut(index) {
                Some(page) => page,
                None => {
                    missed = true;
                    let mut bytes = vec![0; PAGE];
                    self.device.read(index * PAGE as u64, &mut bytes);
                    self.cache.insert(index, bytes.into())
                }
            };
            to[place].copy_from_slice(&page.bytes[inside]);
        }
        Ok(missed)
    }

    /// Writes to the page cache, and makes the file longer if it has to.
    pub(crate) fn write_cached(&mut self, at: u64, from: &[u8]) -> Result<(), Errno> {
        let range = at..at + from.len() as u64;
        for index in pages_of(range.clone()) {
            let (inside, place) = overlap(index, &range);
            if self.cache.get_mut(index).is_none() {
                let mut bytes = vec![0; PAGE];
                if inside.len() < PAGE {
                    self.device.read(index * PAGE as u64, &mut bytes);
                }
                self.cache.insert(index, bytes.into());
            }
            if let Some(page) = self.cache.get_mut(index) {
                page.bytes[inside].copy_from_slice(&from[place]);
                page.dirty = true;
            }
        }
        self.size = self.size.max(range.end);
        Ok(())
    }

    /// Writes the dirty pages that overlap with a range to the device.
    pub(crate) fn write_back(&mut self, range: Range<u64>) {
        for index in self.cache.dirty(range) {
            if let Some(page) = self.cache.get_mut(index) {
                page.dirty = false;
                self.device.write(index * PAGE as u64, &page.bytes);
            }
        }
    }

    /// Sets the length, by cutting off the end or by adding a hole.
    pub(crate) fn set_size(&mut self, size: u64) {
        if size < self.size {
            self.cache.cut(size);
            self.device.cut(size);
        }
        self.size = size;
    }
}

/// What a page has of a range of bytes: the place in the page, and in the range.
fn overlap(index: u64, range: &Range<u64>) -> (Range<usize>, Range<usize>) {
    let page = index * PAGE as u64;
    let start = range.start.max(page);
    let end = range.end.min(page + PAGE as u64);
    let inside = (start - page) as usize..(end - page) as usize;
    let place = (start - range.start) as usize..(end - range.start) as usize;
    (inside, place)
}
