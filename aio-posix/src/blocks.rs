//! The addresses of control blocks in flight, for functions that may not take a lock.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// A set of addresses, of which each is in it at most once. It may lack some: those that find no
/// place.
pub(crate) struct Blocks {
    places: [AtomicUsize; PLACES],
    /// How many addresses in flight found no place.
    without: AtomicUsize,
    /// How many addresses were ever added.
    added: AtomicUsize,
}

/// The control blocks of this process.
pub(crate) static BLOCKS: Blocks = Blocks::new();

/// How many places there are.
const PLACES: usize = 1 << 13;
/// In how many of them an address may be.
const WINDOW: usize = 16;

impl Blocks {
    const fn new() -> Self {
        Self {
            places: [const { AtomicUsize::new(0) }; PLACES],
            without: AtomicUsize::new(0),
            added: AtomicUsize::new(0),
        }
    }

    fn window(&self, address: usize) -> impl Iterator<Item = &AtomicUsize> {
        // Fibonacci hashing: the upper bits of the product depend on all of the address.
        let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = (hash >> (64 - PLACES.trailing_zeros())) as usize;
        (0..WINDOW).map(move |n| &self.places[(first + n) % PLACES])
    }

    /// Adds an address that isn't in it, before its status says that it is in progress.
    pub(crate) fn insert(&self, address: usize) {
        // Before anything else of the request can be seen.
        self.added.fetch_add(1, AcqRel);
        let empty =
            |place: &&AtomicUsize| (place.compare_exchange(0, address, AcqRel, Relaxed)).is_ok();
        if self.window(address).find(empty).is_none() {
            self.without.fetch_add(1, AcqRel);
        }
    }

    /// Removes an address, after its status was stored.
    pub(crate) fn remove(&self, address: usize) {
        let mut places = self.window(address);
        // Release: whoever doesn't find the address reads the status.
        match places.find(|place| place.load(Relaxed) == address) {
            Some(place) => place.store(0, Release),
            None => {
                self.without.fetch_sub(1, AcqRel);
            }
        }
    }

    /// Whether an address is in it. If not, and it was in it, its status was stored.
    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.window(address)).any(|place| place.load(Acquire) == address)
    }

    /// How many addresses were ever added. Between two equal answers, none was.
    pub(crate) fn added(&self) -> usize {
        // Acquire, as for all other loads: they are made in their order.
        self.added.load(Acquire)
    }

    /// Whether all addresses in flight are in it.
    pub(crate) fn are_all(&self) -> bool {
        self.without.load(Acquire) == 0
    }

    /// Forgets all: they are the parent's.
    pub(crate) fn clear(&self) {
        for place in &self.places {
            place.store(0, Relaxed);
        }
        self.without.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_found_until_it_is_removed() {
        let blocks = Blocks::new();
        for n in 1..=100 {
            blocks.insert(n * 168);
        }
        assert!((1..=100).all(|n| blocks.contains(n * 168)));
        for n in 1..=50 {
            blocks.remove(n * 168);
        }
        assert!((1..=50).all(|n| !blocks.contains(n * 168)));
        assert!((51..=100).all(|n| blocks.contains(n * 168)));
    }

    #[test]
    fn it_takes_more_than_it_has_room_for() {
        let blocks = Blocks::new();
        for n in 1..=2 * PLACES {
            blocks.insert(n * 168);
        }
        assert!(!blocks.are_all());
        for n in 1..=2 * PLACES {
            blocks.remove(n * 168);
        }
        assert!((1..=2 * PLACES).all(|n| !blocks.contains(n * 168)));
        assert!(blocks.are_all());
    }
}
