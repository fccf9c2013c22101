//! Reading a whole segment, one commit after the other.

use std::io;

use aio_safe::AlignedBuf;
use anyhow::{Context, Result};

use super::{
    commit::{Head, Kind, Place},
    file::File,
    format::{BLOCK, is_zeros},
    record::Record,
    segment::Segment,
};

/// Reads are at least this long, if the file is.
const CHUNK: usize = 1 << 20;

/// Reads a segment from its start.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    window: Window<'a>,
    /// Where the next commit begins.
    pub(crate) offset: u64,
    /// Whether it may end in a torn commit.
    last: bool,
    /// Whether the file ends within a block.
    odd: bool,
    pub(crate) end: Option<End>,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Sealed,
    /// With zeros, or with the end of the file. Only the last segment may.
    Open,
    /// With a commit that was never acknowledged, because it isn't whole. Only the last segment
    /// may.
    Torn,
}

/// A valid commit.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) places: Vec<Place>,
    offset: u64,
    bytes: &'a [u8],
}

impl<'a> Commit<'a> {
    /// The records, and where each is.
    pub(crate) fn records(&self, salt: u64) -> impl Iterator<Item = (Place, Record<'a>)> {
        self.places.iter().map(move |place| {
            let start = (place.offset - self.offset) as usize;
            let bytes = &self.bytes[start..start + place.len];
            let record = Record::decode(salt, place.offset, bytes);
            (*place, record.expect("the scan has verified it"))
        })
    }
}

impl<'a> Scan<'a> {
    /// `last`: whether no segment has a greater id.
    pub(crate) fn new(segment: &'a Segment, last: bool) -> Result<Self> {
        let len = segment.len()?;
        let odd = len % BLOCK as u64;
        Ok(Self {
            segment,
            window: Window {
                file: &segment.file,
                len: len - odd,
                start: 0,
                bytes: AlignedBuf::zeroed(0, BLOCK)?,
            },
            offset: BLOCK as u64,
            last,
            odd: odd != 0,
            end: None,
        })
    }

    /// The next commit, or `None` at the end, when [`end`](Self::end) is set.
    ///
    /// # Errors
    ///
    /// When the segment is damaged.
    pub(crate) async fn next(&mut self) -> Result<Option<Commit<'_>>> {
        let offset = self.offset;
        let read = self.valid(offset).await;
        let read = read.with_context(|| format!("can't read segment {}", self.segment.id))?;
        let Some((head, size, places)) = read else {
            self.end = Some(self.end_at(offset).await?);
            return Ok(None);
        };
        self.offset += size as u64;
        if head.kind == Kind::Seal {
            self.end = Some(End::Sealed);
            return Ok(None);
        }
        let bytes = self.window.get(offset, size).await?;
        let bytes = bytes.expect("it was read just now");
        Ok(Some(Commit {
            places,
            offset,
            bytes,
        }))
    }

    /// The commit at an offset, if it is valid.
    async fn valid(&mut self, offset: u64) -> io::Result<Option<(Head, usize, Vec<Place>)>> {
        let salt = self.segment.salt;
        let Some(block) = self.window.get(offset, BLOCK).await? else {
            return Ok(None);
        };
        let head = Head::decode(salt, offset, block);
        let Some((head, size)) = head.and_then(|head| Some((head, head.size()?))) else {
            return Ok(None);
        };
        let Some(bytes) = self.window.get(offset, size).await? else {
            return Ok(None);
        };
        let places = head.places(salt, offset, bytes);
        Ok(places.map(|places| (head, size, places)))
    }

    /// What follows the last valid commit.
    ///
    /// A commit is written when the one before it is durable. So if a valid head follows, what is
    /// at this offset was acknowledged, and is damaged.
    async fn end_at(&mut self, end: u64) -> Result<End> {
        if !self.last {
            return Err(self.segment.damage(end));
        }
        let mut torn = self.odd;
        let mut offset = end;
        while let Some(block) = self.window.get(offset, BLOCK).await? {
            torn |= !is_zeros(block);
            if offset > end && Head::decode(self.segment.salt, offset, block).is_some() {
                return Err(self.segment.damage(end));
            }
            offset += BLOCK as u64;
        }
        Ok(if torn { End::Torn } else { End::Open })
    }
}

/// A part of a file that is in memory.
#[derive(Debug)]
struct Window<'a> {
    file: &'a File,
    /// The length of the file, in whole blocks.
    len: u64,
    start: u64,
    bytes: AlignedBuf,
}

impl Window<'_> {
    /// `len` bytes at an offset, or `None` if the file has less.
    async fn get(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let Some(left) = self
            .len
            .checked_sub(offset)
            .filter(|left| len as u64 <= *left)
        else {
            return Ok(None);
        };
        let ends = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + len as u64 > ends {
            let chunk = left.min(len.max(CHUNK) as u64) as usize;
            self.bytes = self.file.read(offset, chunk).await?;
            self.start = offset;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }
}
