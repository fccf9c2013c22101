//! Which blocks of a file are allocated.

use std::{collections::BTreeMap, ops::Range};

/// The bytes of a block of the file system.
const BLOCK: u64 = 4096;

/// See the [module](self). One bit for each block.
#[derive(Default)]
pub(crate) struct Blocks {
    words: BTreeMap<u64, u64>,
    count: u64,
}

impl Blocks {
    /// How many bytes are allocated.
    pub(crate) fn bytes(&self) -> u64 {
        self.count * BLOCK
    }

    /// Allocates the blocks of a range, while `room` has bytes for them, and takes these from it.
    /// Returns how many bytes of the range, from its start, have blocks now.
    pub(crate) fn allocate(&mut self, range: &Range<u64>, room: &mut u64) -> u64 {
        let mut block = range.start / BLOCK;
        while block * BLOCK < range.end {
            let word = self.words.entry(block / 64).or_default();
            let bit = 1 << (block % 64);
            if *word & bit == 0 {
                if *room < BLOCK {
                    return (block * BLOCK).saturating_sub(range.start);
                }
                *room -= BLOCK;
                *word |= bit;
                self.count += 1;
            }
            block += 1;
        }
        range.end - range.start
    }

    /// Frees the blocks behind an offset. Returns how many bytes that gives back.
    pub(crate) fn cut(&mut self, at: u64) -> u64 {
        let before = self.bytes();
        let first = at.div_ceil(BLOCK);
        let rest = self.words.split_off(&(first / 64));
        let gone: u64 = rest.values().map(|word| u64::from(word.count_ones())).sum();
        self.count -= gone;
        if let Some(word) = rest.get(&(first / 64)) {
            let kept = word & ((1 << (first % 64)) - 1);
            self.count += u64::from(kept.count_ones());
            self.words.insert(first / 64, kept);
        }
        before - self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_once_and_given_back() {
        let (mut blocks, mut room) = (Blocks::default(), 100 * BLOCK);
        assert_eq!(blocks.allocate(&(10..20), &mut room), 10);
        assert_eq!(blocks.allocate(&(0..BLOCK + 1), &mut room), BLOCK + 1);
        assert_eq!((blocks.bytes(), room), (2 * BLOCK, 98 * BLOCK));
        let all = 60 * BLOCK..70 * BLOCK;
        assert_eq!(blocks.allocate(&all, &mut room), 10 * BLOCK);
        assert_eq!(blocks.cut(65 * BLOCK + 1), 4 * BLOCK);
        assert_eq!(blocks.cut(61 * BLOCK), 5 * BLOCK);
        assert_eq!(blocks.cut(0), 3 * BLOCK);
        assert_eq!(blocks.bytes(), 0);
    }

    #[test]
    fn there_is_room_for_so_many_only() {
        let (mut blocks, mut room) = (Blocks::default(), 3 * BLOCK);
        assert_eq!(blocks.allocate(&(BLOCK..10 * BLOCK), &mut room), 3 * BLOCK);
        assert_eq!(blocks.allocate(&(100..200), &mut room), 0);
        assert_eq!(
            blocks.allocate(&(2 * BLOCK + 5..5 * BLOCK), &mut room),
            2 * BLOCK - 5
        );
    }
}
