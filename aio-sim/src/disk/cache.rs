//! The page cache of a file.

use std::{collections::BTreeMap, ops::Range};

/// The bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// A file has at most so many clean pages. The kernel drops clean pages when it needs memory.
const MOST_CLEAN: usize = 1024;

/// A page of a file.
pub(crate) struct Page {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) dirty: bool,
}

/// See the [module](self). Pages are known by their index.
#[derive(Default)]
pub(crate) struct PageCache {
    pages: BTreeMap<u64, Page>,
}

/// The indices of the pages that a range of bytes overlaps with.
pub(crate) fn pages_of(range: Range<u64>) -> Range<u64> {
    range.start / PAGE as u64..range.end.div_ceil(PAGE as u64)
}

impl PageCache {
    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut Page> {
        self.pages.get_mut(&index)
    }

    /// Adds a page that isn't there. Drops the clean ones before that if there are too many.
    pub(crate) fn insert(&mut self, index: u64, bytes: Box<[u8]>) -> &mut Page {
        if self.pages.len() >= MOST_CLEAN && self.pages.values().any(|page| !page.dirty) {
            self.drop_clean();
        }
        self.pages.entry(index).or_insert(Page {
            bytes,
            dirty: false,
        })
    }

    /// Drops all clean pages.
    pub(crate) fn drop_clean(&mut self) {
        self.pages.retain(|_, page| page.dirty);
    }

    /// The indices of the dirty pages that overlap with a range of bytes.
    pub(crate) fn dirty(&self, range: Range<u64>) -> Vec<u64> {
        let pages = pages_of(range);
        if pages.is_empty() || self.pages.is_empty() {
            return Vec::new();
        }
        let dirty = self.pages.range(pages).filter(|(_, page)| page.dirty);
        dirty.map(|(&index, _)| index).collect()
    }

    /// Drops the pages that overlap with a range of bytes, dirty or not.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if self.pages.is_empty() {
            return;
        }
        for index in pages_of(range) {
            self.pages.remove(&index);
        }
    }

    /// Drops what is behind a file's new end.
    pub(crate) fn cut(&mut self, size: u64) {
        let rest = self.pages.split_off(&(size / PAGE as u64));
        let start = (size % PAGE as u64) as usize;
        if let Some((index, mut page)) = rest.into_iter().next() {
            if start > 0 && index == size / PAGE as u64 {
                page.bytes[start..].fill(0);
                self.pages.insert(index, page);
            }
        }
    }
}
