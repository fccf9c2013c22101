//! The page cache of a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// The bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// A transfer begins with fewer clean pages of its file. The kernel drops clean pages when it needs
/// memory.
const MOST_CLEAN: usize = 1024;
/// A file has at most so many dirty pages. The kernel writes them to the device when there are too
/// many.
const MOST_DIRTY: usize = 1024;

/// See the [module](self). Pages are known by their index.
#[derive(Default)]
pub(crate) struct PageCache {
    pages: BTreeMap<u64, Arc<[u8]>>,
    dirty: BTreeSet<u64>,
}

/// The indices of the pages that a range of bytes overlaps with.
pub(crate) fn pages_of(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE as u64..range.end.div_ceil(PAGE as u64)
}

/// What a page has of a range of bytes: the place in the page, and in the range.
pub(crate) fn overlap(index: u64, range: &Range<u64>) -> (Range<usize>, Range<usize>) {
    let page = index * PAGE as u64;
    let start = range.start.max(page);
    let end = range.end.min(page + PAGE as u64);
    let inside = (start - page) as usize..(end - page) as usize;
    let place = (start - range.start) as usize..(end - range.start) as usize;
    (inside, place)
}

impl PageCache {
    pub(crate) fn get(&self, index: u64) -> Option<&Arc<[u8]>> {
        self.pages.get(&index)
    }

    /// A page that is about to be changed. It is copied if the device has shared it.
    pub(crate) fn get_to_change(&mut self, index: u64) -> Option<&mut [u8]> {
        let page = self.pages.get_mut(&index)?;
        self.dirty.insert(index);
        Some(Arc::make_mut(page))
    }

    /// Adds a clean page.
    pub(crate) fn insert(&mut self, index: u64, bytes: Arc<[u8]>) {
        self.pages.insert(index, bytes);
    }

    /// Drops all clean pages if there are too many. A transfer does it before it needs any, so that
    /// it has all of its own pages together.
    pub(crate) fn limit_clean(&mut self) {
        if self.pages.len() - self.dirty.len() >= MOST_CLEAN {
            self.drop_clean();
        }
    }

    /// Drops all clean pages.
    pub(crate) fn drop_clean(&mut self) {
        self.pages.retain(|index, _| self.dirty.contains(index));
    }

    pub(crate) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether some dirty pages have to be written to the device.
    pub(crate) fn has_too_many_dirty(&self) -> bool {
        self.dirty.len() > MOST_DIRTY
    }

    /// Takes the dirty pages that overlap with a range: they are clean now. Returns their indices.
    pub(crate) fn clean(&mut self, range: &Range<u64>) -> Vec<u64> {
        if self.dirty.is_empty() || range.is_empty() {
            return Vec::new();
        }
        let taken: Vec<u64> = self.dirty.range(pages_of(range)).copied().collect();
        for index in &taken {
            self.dirty.remove(index);
        }
        taken
    }

    /// Drops the pages that overlap with a range of bytes, dirty or not.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if self.pages.is_empty() || range.is_empty() {
            return;
        }
        let there: Vec<u64> = self.pages.range(pages_of(range)).map(|(&n, _)| n).collect();
        for index in there {
            self.pages.remove(&index);
            self.dirty.remove(&index);
        }
    }

    /// Drops the clean pages that overlap with a range of bytes. Returns whether all of
    /// them were clean.
    pub(crate) fn remove_clean(&mut self, range: &Range<u64>) -> bool {
        let kept: Vec<u64> = match range.is_empty() {
            true => Vec::new(),
            false => self.dirty.range(pages_of(range)).copied().collect(),
        };
        let mut from = range.start;
        for page in &kept {
            self.remove(&(from..page * PAGE as u64));
            from = (page + 1) * PAGE as u64;
        }
        self.remove(&(from..range.end));
        kept.is_empty()
    }

    /// Drops what is behind a file's new end.
    pub(crate) fn cut(&mut self, size: u64) {
        let whole = size.next_multiple_of(PAGE as u64);
        self.remove(&(whole..u64::MAX));
        if whole > size {
            if let Some(page) = self.pages.get_mut(&(size / PAGE as u64)) {
                Arc::make_mut(page)[(size % PAGE as u64) as usize..].fill(0);
            }
        }
    }
}
