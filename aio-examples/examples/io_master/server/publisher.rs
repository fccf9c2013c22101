//! The server's end of a ring.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::Ordering::{Relaxed, Release},
};

use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};

use crate::{
    ring::{self, Words},
    wire::Completion,
};

#[derive(Debug)]
pub(crate) struct Publisher {
    words: Words,
    places: u32,
    published: u32,
}

impl Publisher {
    /// Makes a ring, and its descriptor for the client. Needs Linux 5.1.
    pub(crate) fn new(places: u32) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let ring = memfd_create("io_master ring", flags)?;
        let size = ring::size(places);
        // All of it is allocated now. A page that is missing later would be a SIGBUS.
        fallocate(&ring, FallocateFlags::empty(), 0, size as u64)?;
        let mapping = MmapOptions::new().len(size).map_raw(ring.as_raw_fd())?;
        // FUTURE_WRITE leaves the mapping above as it is. From now on nobody can map the ring
        // writable, write to it, or take pages out of it.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        fcntl_add_seals(&ring, seals)?;
        let this = Self {
            words: Words::new(mapping),
            places,
            published: 0,
        };
        Ok((this, ring))
    }

    /// How many completions were published, modulo 2³².
    pub(crate) fn published(&self) -> u32 {
        self.published
    }

    /// Adds a completion. The caller knows that there is a place.
    pub(crate) fn publish(&mut self, completion: Completion) {
        let values: [u32; 4] = zerocopy::transmute!(completion);
        let words = self.words.place(self.published, self.places);
        for (word, value) in words.into_iter().zip(values) {
            word.store(value, Relaxed);
        }
        self.published = self.published.wrapping_add(1);
        self.words.count().store(self.published, Release);
    }
}
