//! The expected contents of a block, and the check of a block that was read. Every engine uses the
//! same few instructions.

use aio_bench::Contents;

/// The length of a sector in bytes: the unit that [`Contents::Numbered`] numbers.
pub(crate) const SECTOR: usize = 512;

/// The contents of a buffer before a read. No sector has them: see [`Pattern::word`].
const POISON: u64 = 0x5a5a_a5a5_5a5a_a5a5;

/// The word with which each sector begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    factor: u64,
}

impl Pattern {
    pub(crate) const fn of(contents: Contents) -> Self {
        let factor = match contents {
            Contents::Zeros => 0,
            // The factor is odd, so no two sectors have the same word. The sector whose word would
            // be the poison lies far beyond the end of any file.
            Contents::Numbered => 0x9e37_79b9_7f4a_7c15,
        };
        Self { factor }
    }

    /// The word that a sector begins and ends with.
    #[inline]
    pub(crate) const fn word(self, sector: u64) -> u64 {
        (sector + 1).wrapping_mul(self.factor)
    }

    /// Whether a block that was read begins with its first sector's word and ends with its last
    /// one's.
    #[inline]
    pub(crate) fn is_in(self, block: &[u8], offset: u64) -> bool {
        ends(block) == Some(self.expected(block.len(), offset))
    }

    /// The words with which a block of this length, at this offset of the file, begins and ends.
    #[inline]
    pub(crate) const fn expected(self, len: usize, offset: u64) -> (u64, u64) {
        let first = offset / SECTOR as u64;
        let last = first + (len / SECTOR) as u64 - 1;
        (self.word(first), self.word(last))
    }

    /// Writes the words of all sectors into a block that is going to be written.
    #[inline]
    pub(crate) fn stamp(self, block: &mut [u8], offset: u64) {
        let first = offset / SECTOR as u64;
        for (sector, bytes) in (first..).zip(block.chunks_exact_mut(SECTOR)) {
            set_ends(bytes, self.word(sector));
        }
    }
}

/// Poisons a buffer, so that a read that transfers nothing to it is noticed.
#[inline]
pub(crate) fn poison(block: &mut [u8]) {
    set_ends(block, POISON);
}

/// The first and the last word of a block.
#[inline]
pub(crate) fn ends(block: &[u8]) -> Option<(u64, u64)> {
    let first = block.first_chunk::<8>()?;
    let last = block.last_chunk::<8>()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)))
}

#[inline]
fn set_ends(bytes: &mut [u8], word: u64) {
    if let Some(first) = bytes.first_chunk_mut::<8>() {
        *first = word.to_le_bytes();
    }
    if let Some(last) = bytes.last_chunk_mut::<8>() {
        *last = word.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_known_by_its_number() {
        let pattern = Pattern::of(Contents::Numbered);
        let mut block = vec![0; 4096];
        pattern.stamp(&mut block, 28672);
        assert!(pattern.is_in(&block, 28672));
        assert!(!pattern.is_in(&block, 24576));
        assert!(
            pattern.is_in(&block[512..1024], 28672 + 512),
            "a sector can be a block"
        );
        block[4095] ^= 1;
        assert!(!pattern.is_in(&block, 28672));
        block[4095] ^= 1;
        block[0] ^= 1;
        assert!(!pattern.is_in(&block, 28672));
    }

    #[test]
    fn zeros_are_zeros_wherever_they_are() {
        let pattern = Pattern::of(Contents::Zeros);
        let mut block = vec![1; 1024];
        assert!(!pattern.is_in(&block, 3072));
        pattern.stamp(&mut block, 3072);
        assert!(pattern.is_in(&block, 3072) && pattern.is_in(&block, 0));
    }

    #[test]
    fn a_poisoned_block_is_never_right() {
        for contents in [Contents::Zeros, Contents::Numbered] {
            let pattern = Pattern::of(contents);
            let mut block = vec![0; 512];
            pattern.stamp(&mut block, 0);
            poison(&mut block);
            assert!(!pattern.is_in(&block, 0));
        }
        // The factor's inverse gives the sector whose word would be the poison.
        let inverse = 0xf1de_83e1_9937_733d_u64;
        assert_eq!(inverse.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1);
        let sector = POISON.wrapping_mul(inverse) - 1;
        assert!(sector > i64::MAX as u64 / SECTOR as u64, "{sector}");
    }
}
