//! One change of the store: a value for a key, or a tombstone, which deletes the key.

use super::format::{KEY_MAX, VALUE_MAX, checksum, split};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// Checksum, length of the key, kind, a zero, length of the value.
const HEAD: usize = 12;
const SUM: usize = 4;

const TOMBSTONE: u8 = 1;
const VALUE: u8 = 2;

impl<'a> Record<'a> {
    /// The length on disk, in bytes.
    pub(crate) fn len(&self) -> usize {
        HEAD + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// Writes the record to the start of `to`, which will be at this offset of the segment.
    pub(crate) fn encode(&self, salt: u64, offset: u64, to: &mut [u8]) {
        let kind = if self.value.is_some() {
            VALUE
        } else {
            TOMBSTONE
        };
        let value = self.value.unwrap_or_default();
        let to = &mut to[..self.len()];
        let mut put = |at: usize, bytes: &[u8]| to[at..][..bytes.len()].copy_from_slice(bytes);
        put(SUM, &(self.key.len() as u16).to_le_bytes());
        put(SUM + 2, &[kind, 0]);
        put(SUM + 4, &(value.len() as u32).to_le_bytes());
        put(HEAD, self.key);
        put(HEAD + self.key.len(), value);
        let sum = checksum(salt, offset, &to[SUM..]);
        to[..SUM].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads the record at the start of `bytes`, if there is a valid one.
    pub(crate) fn decode(salt: u64, offset: u64, bytes: &'a [u8]) -> Option<Self> {
        let (sum, rest) = split(bytes)?;
        let (key_len, rest) = split(rest)?;
        let ([kind, zero], rest) = split(rest)?;
        let (value_len, rest) = split(rest)?;
        let key_len = usize::from(u16::from_le_bytes(key_len));
        let value_len = u32::from_le_bytes(value_len) as usize;
        if !(1..=KEY_MAX).contains(&key_len) || value_len > VALUE_MAX || zero != 0 {
            return None;
        }
        let (key, rest) = rest.split_at_checked(key_len)?;
        let value = rest.get(..value_len)?;
        let value = match kind {
            VALUE => Some(value),
            TOMBSTONE if value.is_empty() => None,
            _ => return None,
        };
        let record = Self { key, value };
        let covered = &bytes[SUM..record.len()];
        (checksum(salt, offset, covered).to_le_bytes() == sum).then_some(record)
    }
}
