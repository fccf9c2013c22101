//! Bytes that the page cache, a write and a file's contents share.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

/// A part of a counted allocation. Copies share it.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    all: Arc<[u8]>,
    start: u32,
    len: u32,
}

impl Data {
    /// A part of these bytes: fewer than 2 GiB are written at a time.
    pub(crate) fn new(all: Arc<[u8]>, part: Range<usize>) -> Self {
        debug_assert!(part.start <= part.end && part.end <= all.len());
        Self {
            all,
            start: part.start as u32,
            len: (part.end - part.start) as u32,
        }
    }

    /// A part of it, which shares its allocation.
    pub(crate) fn slice(&self, part: Range<usize>) -> Self {
        debug_assert!(part.end <= self.len as usize);
        let start = self.start as usize;
        let part = start + part.start..start + part.end;
        Self::new(Arc::clone(&self.all), part)
    }

    /// The bytes of the whole allocation.
    pub(crate) fn shared_len(&self) -> usize {
        self.all.len()
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.into(), 0..bytes.len())
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.start as usize;
        &self.all[start..start + self.len as usize]
    }
}
