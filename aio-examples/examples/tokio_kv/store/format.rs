//! What the files contain. All numbers are little-endian.
//!
//! A segment is a file of blocks: a head, commits, and a seal. The rest is zeros.
//!
//! | part | begins | contains |
//! |---|---|---|
//! | head | the first block | magic, id, salt, base, checksum |
//! | commit | on a block | checksum, magic, length of records; records; zeros up to a block |
//! | seal | on a block | a commit of another magic, without records |
//! | record | behind another | checksum, lengths of key and value, kind; key, value |
//!
//! A commit is what one write and one sync made durable. It begins on a block of its own, so no
//! block that is durable is ever written again.
//!
//! Each checksum also covers the segment's salt, which is a random number, and the offset in the
//! file. So what belongs to another place isn't taken for valid, and neither is a value that looks
//! like a commit.

/// Transfers begin and end on multiples of this. No common device needs more for `O_DIRECT`.
pub(crate) const BLOCK: usize = 4096;

/// Whether this is nothing but zeros. It may be a block, or a part of one.
pub(crate) fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    ZEROS.starts_with(bytes)
}

/// The longest key, in bytes. The shortest has one byte.
pub(crate) const KEY_MAX: usize = 1024;

/// The longest value, in bytes.
pub(crate) const VALUE_MAX: usize = 1 << 20;

/// A commit takes no further record when its records have this many bytes.
pub(crate) const COMMIT: usize = 1 << 20;

/// The smallest multiple of [`BLOCK`] that isn't smaller.
pub(crate) fn whole_blocks(len: usize) -> usize {
    len.next_multiple_of(BLOCK)
}

/// The checksum of what is at an offset of a segment.
pub(crate) fn checksum(salt: u64, offset: u64, bytes: &[u8]) -> u32 {
    let place = [salt.to_le_bytes(), offset.to_le_bytes()].concat();
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// Takes an array off the start of bytes, which may be too short.
pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((*first, rest))
}
