//! Contents that name their block and version.
//!
//! Each sector of 512 bytes starts with the seed, its block, its version and its number within the
//! block. The rest derives from these. So a torn, misplaced, lost or stale sector is recognised.

use std::fmt;

/// The length of a block in bytes. Blocks are owned, written and checked as a whole. A block fits
/// every disk's logical blocks.
pub(super) const BLOCK: usize = 4096;

const SECTOR: usize = 512;
const WORD: usize = 8;

/// The contents that a block may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Only this version.
    Only(u64),
    /// A write is or was in flight, so each sector may have either version.
    Either(u64, u64),
}

impl Expect {
    fn accepts(self, version: u64) -> bool {
        match self {
            Self::Only(only) => version == only,
            Self::Either(old, new) => version == old || version == new,
        }
    }
}

/// Writes a block's contents.
pub(super) fn fill(bytes: &mut [u8], seed: u64, block: u64, version: u64) {
    for (n, sector) in bytes.chunks_exact_mut(SECTOR).enumerate() {
        let (head, rest) = sector.split_at_mut(4 * WORD);
        for (word, value) in head
            .chunks_exact_mut(WORD)
            .zip(header(seed, block, version, n))
        {
            word.copy_from_slice(&value.to_le_bytes());
        }
        let mut value = start(seed, block, version, n);
        for word in rest.chunks_exact_mut(WORD) {
            word.copy_from_slice(&value.to_le_bytes());
            value = value.wrapping_add(STEP);
        }
    }
}

/// Spoils a buffer before a read, so that bytes that are not read are noticed.
pub(super) fn spoil(bytes: &mut [u8]) {
    for sector in bytes.chunks_exact_mut(SECTOR) {
        for at in [0, SECTOR - WORD] {
            sector[at..at + WORD].fill(0xee);
        }
    }
}

/// Checks a block's contents.
pub(super) fn check(bytes: &[u8], seed: u64, block: u64, expect: Expect) -> Result<(), Wrong> {
    for (n, sector) in bytes.chunks_exact(SECTOR).enumerate() {
        let found = read_header(sector);
        let [_, _, version, _] = found;
        let right = found == header(seed, block, version, n)
            && expect.accepts(version)
            && rest_is_right(sector, start(seed, block, version, n));
        if !right {
            return Err(Wrong {
                sector: n,
                expect,
                what: describe(sector, seed, block, n),
            });
        }
    }
    Ok(())
}

/// A wrong sector.
#[derive(Debug)]
pub(super) struct Wrong {
    sector: usize,
    expect: Expect,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sector,
            expect,
            what,
        } = self;
        write!(f, "sector {sector} {what}; expected {expect:?}")
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn header(seed: u64, block: u64, version: u64, sector: usize) -> [u64; 4] {
    [seed ^ STEP, block, version, sector as u64]
}

fn read_header(sector: &[u8]) -> [u64; 4] {
    std::array::from_fn(|n| word(sector, n))
}

fn word(sector: &[u8], n: usize) -> u64 {
    let mut bytes = [0; WORD];
    bytes.copy_from_slice(&sector[n * WORD..(n + 1) * WORD]);
    u64::from_le_bytes(bytes)
}

/// The first word after the header. It mixes all words of the header.
fn start(seed: u64, block: u64, version: u64, sector: usize) -> u64 {
    let mut value = seed;
    for part in [block, version, sector as u64] {
        // As in splitmix64.
        value = (value ^ part).wrapping_add(STEP);
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value ^= value >> 27;
    }
    value
}

fn rest_is_right(sector: &[u8], mut value: u64) -> bool {
    let mut difference = 0;
    for bytes in sector[4 * WORD..].chunks_exact(WORD) {
        let mut word = [0; WORD];
        word.copy_from_slice(bytes);
        difference |= u64::from_le_bytes(word) ^ value;
        value = value.wrapping_add(STEP);
    }
    difference == 0
}

/// Describes a wrong sector.
fn describe(bytes: &[u8], seed: u64, block: u64, sector: usize) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return "is all zeros".into();
    }
    let found = read_header(bytes);
    let [tag, its_block, version, its_sector] = found;
    if tag == u64::from_le_bytes([0xee; WORD]) {
        return "was not read: the buffer has what was in it before".into();
    }
    if tag != seed ^ STEP {
        return format!("is of no version: it starts with {:02x?}", &bytes[..16]);
    }
    let whole = rest_is_right(bytes, start(seed, its_block, version, its_sector as usize));
    let torn = if whole { "" } else { ", torn" };
    if (its_block, its_sector) == (block, sector as u64) {
        format!("has version {version}{torn}")
    } else {
        format!("is sector {its_sector} of block {its_block:#x}, version {version}{torn}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        fill(&mut bytes, 7, 3, 9);
        bytes
    }

    fn wrong(bytes: &[u8], expect: Expect) -> String {
        check(bytes, 7, 3, expect).unwrap_err().to_string()
    }

    #[test]
    fn the_right_contents_pass() {
        check(&block(), 7, 3, Expect::Only(9)).unwrap();
        check(&block(), 7, 3, Expect::Either(8, 9)).unwrap();
        check(&block(), 7, 3, Expect::Either(9, 10)).unwrap();
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for at in 0..BLOCK {
            let mut bytes = block();
            bytes[at] ^= 1;
            assert!(check(&bytes, 7, 3, Expect::Only(9)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(wrong(&block(), Expect::Only(10)).contains("sector 0 has version 9;"));
        assert!(wrong(&[0; BLOCK], Expect::Only(9)).contains("all zeros"));

        let mut other = vec![0; BLOCK];
        fill(&mut other, 7, 4, 9);
        assert!(wrong(&other, Expect::Only(9)).contains("sector 0 of block 0x4, version 9"));

        let mut torn = block();
        fill(&mut torn[2048..], 7, 3, 10);
        let text = wrong(&torn, Expect::Only(9));
        assert!(
            text.starts_with("sector 2 ") || text.starts_with("sector 4 "),
            "{text}"
        );
        torn.copy_from_slice(&block());
        let mut next = vec![0; BLOCK];
        fill(&mut next, 7, 3, 10);
        torn[256..].copy_from_slice(&next[256..]);
        assert!(wrong(&torn, Expect::Either(9, 10)).contains("version 9, torn"));

        let mut unread = block();
        spoil(&mut unread);
        assert!(wrong(&unread, Expect::Only(9)).contains("was not read"));
    }

    #[test]
    fn sectors_of_two_versions_pass_while_a_write_is_under_way() {
        let mut mixed = block();
        let mut next = vec![0; BLOCK];
        fill(&mut next, 7, 3, 10);
        mixed[1024..2048].copy_from_slice(&next[1024..2048]);
        check(&mixed, 7, 3, Expect::Either(9, 10)).unwrap();
        assert!(check(&mixed, 7, 3, Expect::Only(9)).is_err());
    }
}
