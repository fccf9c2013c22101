//! The ring of completions: memory that the server writes and the client reads.
//!
//! The server makes the memory and seals it. Nobody can shrink it or take pages out of it, and only
//! the server's own mapping can write to it. So neither process ever finds a page missing.
//!
//! | words of 32 bits | |
//! |---|---|
//! | 0 | how many completions were published since the hello, modulo 2³² |
//! | 16, 20, 24, ... | the places, 4 words each: a [`Completion`] |
//!
//! Completion number n is in place n modulo the number of places, which is a power of two.
//!
//! The server stores a completion, and then the count with `Release`. The client loads the count,
//! and a fence with `Acquire` follows. So a client that sees the count sees the completions. The
//! server overwrites a place only after a request told it that the client has taken what was there:
//! the socket's own locks order these accesses.

#![allow(unsafe_code, reason = "atomics in memory that processes share")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed},
        fence,
    },
};

use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    fs::{SealFlags, fcntl_get_seals},
    io::Errno,
};

use crate::wire::Completion;

/// The words before the places: the count has a cache line of its own.
const HEAD: usize = 16;
/// The words of a place.
const PLACE: usize = size_of::<Completion>() / size_of::<u32>();

/// A ring's size in bytes.
pub(crate) fn size(places: u32) -> usize {
    (HEAD + places as usize * PLACE) * size_of::<u32>()
}

/// A mapping of a ring.
#[derive(Debug)]
pub(crate) struct Words(MmapRaw);

impl Words {
    /// Takes a mapping of a ring: of memory that can't shrink.
    pub(crate) fn new(mapping: MmapRaw) -> Self {
        Self(mapping)
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < self.0.len() / size_of::<u32>());
        let word = self.0.as_mut_ptr().cast::<AtomicU32>();
        // SAFETY: the word lies within the mapping, as was checked just now.
        let word = unsafe { word.add(index) };
        // SAFETY: a mapping begins with a page, so each of its words is aligned. It exists as long
        // as `self`, and the memory behind it can't shrink: `Publisher` has sealed it, and `Reader`
        // has checked the seal. This type is the only way to the mapping, so all accesses of this
        // process are atomic. The client's mapping is read-only, and `Reader` only loads, with
        // `Relaxed`, which the standard library allows for such memory.
        unsafe { &*word }
    }

    /// How many completions were published.
    pub(crate) fn count(&self) -> &AtomicU32 {
        self.word(0)
    }

    /// The words of a completion, by its number.
    pub(crate) fn place(&self, number: u32, places: u32) -> [&AtomicU32; PLACE] {
        let place = (number & (places - 1)) as usize;
        std::array::from_fn(|word| self.word(HEAD + place * PLACE + word))
    }
}

/// The client's end.
#[derive(Debug)]
pub(crate) struct Reader {
    words: Words,
    places: u32,
    taken: u32,
}

impl Reader {
    pub(crate) fn new(ring: &OwnedFd, places: u32) -> io::Result<Self> {
        let size = size(places);
        let has_size = rustix::fs::fstat(ring)?.st_size as u64 >= size as u64;
        let is_sealed = fcntl_get_seals(ring)?.contains(SealFlags::SHRINK);
        if !places.is_power_of_two() || !is_sealed || !has_size {
            return Err(Errno::PROTO.into());
        }
        let mapping = MmapOptions::new()
            .len(size)
            .map_raw_read_only(ring.as_raw_fd())?;
        Ok(Self {
            words: Words::new(mapping),
            places,
            taken: 0,
        })
    }

    /// How many completions were taken, modulo 2³².
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Takes the next completion, if there is one.
    pub(crate) fn take(&mut self) -> Option<Completion> {
        if self.words.count().load(Relaxed) == self.taken {
            return None;
        }
        // With this, the load above is an acquire. Memory that is mapped read-only allows no other
        // way.
        fence(Acquire);
        let words = self.words.place(self.taken, self.places);
        self.taken = self.taken.wrapping_add(1);
        Some(zerocopy::transmute!(words.map(|word| word.load(Relaxed))))
    }
}
