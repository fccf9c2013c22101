//! Commits: records that one write and one sync made durable.

use aio_safe::{AlignedBuf, buf::AllocError};

use super::{
    format::{BLOCK, checksum, is_zeros, split, whole_blocks},
    record::Record,
};

/// Checksum, magic, length of the records.
const HEAD: usize = 16;
const SUM: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    /// The last one of a segment.
    Seal,
}

impl Kind {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Commit => *b"CMMT",
            Self::Seal => *b"SEAL",
        }
    }
}

/// The head of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// The length of its records.
    len: u64,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset in the segment.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// How many bytes a commit of these records has, which is a multiple of [`BLOCK`].
pub(crate) fn size(records: &[Record<'_>]) -> usize {
    whole_blocks(HEAD + records.iter().map(Record::len).sum::<usize>())
}

/// The bytes of a commit that will be at this offset, and where each of its records will be.
pub(crate) fn encode(
    kind: Kind,
    records: &[Record<'_>],
    salt: u64,
    offset: u64,
) -> Result<(AlignedBuf, Vec<Place>), AllocError> {
    let mut bytes = AlignedBuf::zeroed(size(records), BLOCK)?;
    let mut at = HEAD;
    let mut places = Vec::with_capacity(records.len());
    for record in records {
        let place = Place {
            offset: offset + at as u64,
            len: record.len(),
        };
        record.encode(salt, place.offset, &mut bytes[at..]);
        places.push(place);
        at += place.len;
    }
    bytes[SUM..][..4].copy_from_slice(&kind.magic());
    bytes[SUM + 4..HEAD].copy_from_slice(&((at - HEAD) as u64).to_le_bytes());
    let sum = checksum(salt, offset, &bytes[SUM..HEAD]);
    bytes[..SUM].copy_from_slice(&sum.to_le_bytes());
    Ok((bytes, places))
}

impl Head {
    /// Reads the head at the start of `bytes`, if there is a valid one.
    pub(crate) fn decode(salt: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        let (sum, rest) = split(bytes)?;
        let (magic, rest) = split(rest)?;
        let (len, _) = split(rest)?;
        if checksum(salt, offset, &bytes[SUM..HEAD]).to_le_bytes() != sum {
            return None;
        }
        let kinds = [Kind::Commit, Kind::Seal];
        let kind = kinds.into_iter().find(|kind| kind.magic() == magic)?;
        let len = u64::from_le_bytes(len);
        Some(Self { kind, len })
    }

    /// How many bytes the commit has, which is a multiple of [`BLOCK`].
    pub(crate) fn size(&self) -> Option<usize> {
        usize::try_from(self.len)
            .ok()?
            .checked_add(HEAD)?
            .checked_next_multiple_of(BLOCK)
    }

    /// Where the records of the commit are, if all of it is valid, down to the zeros at its end.
    pub(crate) fn places(&self, salt: u64, offset: u64, bytes: &[u8]) -> Option<Vec<Place>> {
        let mut places = Vec::new();
        let records = &bytes[HEAD..];
        let (mut rest, zeros) = records.split_at_checked(usize::try_from(self.len).ok()?)?;
        while !rest.is_empty() {
            let at = offset + (bytes.len() - zeros.len() - rest.len()) as u64;
            let len = Record::decode(salt, at, rest)?.len();
            places.push(Place { offset: at, len });
            rest = &rest[len..];
        }
        is_zeros(zeros).then_some(places)
    }
}
