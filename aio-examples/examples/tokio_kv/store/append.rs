//! Appending commits to a segment.

use std::{io, sync::Arc};

use anyhow::Result;

use super::{
    commit::{self, Kind, Place},
    format::BLOCK,
    record::Record,
    segment::Segment,
};

/// The end of a segment that isn't sealed.
#[derive(Clone, Debug)]
pub(crate) struct Appender {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u64,
}

impl Appender {
    /// Behind the head.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        let end = BLOCK as u64;
        Self { segment, end }
    }

    /// Writes a commit, and doesn't sync it. Returns where its records are.
    pub(crate) async fn append(&mut self, records: &[Record<'_>]) -> io::Result<Vec<Place>> {
        self.write(Kind::Commit, records).await
    }

    async fn write(&mut self, kind: Kind, records: &[Record<'_>]) -> io::Result<Vec<Place>> {
        let (bytes, places) = commit::encode(kind, records, self.segment.salt, self.end)?;
        let len = bytes.len() as u64;
        self.segment.file.write(bytes, self.end).await?;
        self.end += len;
        Ok(places)
    }

    /// Ends the segment: writes the seal, makes everything durable, gives back space.
    pub(crate) async fn seal(mut self) -> Result<Arc<Segment>> {
        self.write(Kind::Seal, &[]).await?;
        self.segment.cut(self.end).await?;
        self.segment.file.sync_all().await?;
        Ok(self.segment)
    }
}
