//! Opening a store, after an orderly end or a kill.

use std::{fmt, sync::Arc};

use anyhow::{Result, ensure};

use super::{
    super::disk::SEGMENT,
    append::Appender,
    commit::Place,
    dir::Dir,
    index::{Index, Location},
    scan::{End, Scan},
    segment::Segment,
};

/// The segments of a store, the oldest first. Those that the base replaces aren't among them.
pub(crate) async fn segments(dir: &Dir) -> Result<Vec<Arc<Segment>>> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for id in dir.segments()?.into_iter().rev() {
        let newer = segments.last().map_or(id + 1, |newer| newer.id);
        ensure!(newer == id + 1, "segment {} is missing", newer - 1);
        let segment = Segment::open(dir, id).await?;
        let base = segment.base;
        segments.push(segment);
        if base {
            break;
        }
    }
    if let Some(oldest) = segments.last() {
        ensure!(oldest.base, "segment {} is missing", oldest.id - 1);
    }
    segments.reverse();
    Ok(segments)
}

/// What a segment contains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    id: u64,
    commits: u64,
    records: u64,
    pub(crate) end: End,
    /// Where the valid commits end.
    offset: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            commits,
            records,
            end,
            offset,
        } = self;
        write!(f, "segment {id}: {commits} commits, {records} records, ")?;
        match end {
            End::Sealed => f.write_str("sealed"),
            End::Open => write!(f, "ends at offset {offset}"),
            End::Torn => write!(f, "a torn commit at offset {offset}"),
        }
    }
}

/// Reads a segment, and applies its records to the index.
pub(crate) async fn load(segment: &Arc<Segment>, last: bool, index: &mut Index) -> Result<Summary> {
    let (mut commits, mut records) = (0, 0);
    let mut scan = Scan::new(segment, last)?;
    while let Some(commit) = scan.next().await? {
        for (place, record) in commit.records(segment.salt) {
            let location = record.value.map(|_| location(segment, place));
            index.apply(record.key, location);
            records += 1;
        }
        commits += 1;
    }
    Ok(Summary {
        id: segment.id,
        commits,
        records,
        end: scan.end.expect("`next` has set it"),
        offset: scan.offset,
    })
}

pub(crate) fn location(segment: &Arc<Segment>, place: Place) -> Location {
    Location {
        segment: Arc::clone(segment),
        place,
    }
}

/// Opens a store: reads everything, seals the last segment, and begins another one.
///
/// A kill in the middle of this leaves a store that can be opened in the same way.
pub(crate) async fn recover(dir: &Dir) -> Result<(Index, Appender)> {
    // From here on the names last, so what they replace can go.
    dir.sync().await?;
    dir.remove_unready()?;
    let segments = segments(dir).await?;
    let base = segments.first().map_or(0, |segment| segment.id);
    let replaced = dir.segments()?.into_iter().filter(|id| *id < base);
    dir.remove(replaced).await?;

    let mut index = Index::default();
    for (n, segment) in segments.iter().enumerate() {
        let last = n + 1 == segments.len();
        let summary = load(segment, last, &mut index).await?;
        match summary.end {
            // The last process may have been killed before it synced the seal.
            End::Sealed if last => segment.file.sync_all().await?,
            End::Sealed => {}
            End::Open | End::Torn => end(segment, summary).await?,
        }
    }
    let id = segments.last().map_or(1, |segment| segment.id + 1);
    index.sealed = segments;
    Ok((index, begin(dir, id).await?))
}

/// Seals the segment behind what was acknowledged. Sealing cuts off the rest.
async fn end(segment: &Arc<Segment>, summary: Summary) -> Result<()> {
    if summary.end == End::Torn {
        eprintln!("tokio_kv: cut off: {summary}");
    }
    // The last process may have been killed before it synced the last commit. A seal says that what
    // is before it is durable.
    segment.file.sync_data().await?;
    let appender = Appender {
        segment: Arc::clone(segment),
        end: summary.offset,
    };
    appender.seal().await?;
    Ok(())
}

/// Begins a segment that clients' changes are appended to.
pub(crate) async fn begin(dir: &Dir, id: u64) -> Result<Appender> {
    // The first segment of a store has nothing before it.
    let segment = Segment::create(dir, id, id == 1, SEGMENT).await?;
    dir.publish(id).await?;
    Ok(Appender::new(segment))
}
