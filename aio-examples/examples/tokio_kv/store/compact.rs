//! Compaction: copies all live records to one new segment, and removes the old ones.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::{
    Shared, append::Appender, commit::Place, format::COMMIT, index::Location, record::Record,
    recover::location, scan::Scan, segment::Segment,
};

/// The copied records of one commit.
#[derive(Debug, Default)]
struct Copies {
    records: Vec<Copy>,
    /// Of all records together.
    len: usize,
}

#[derive(Debug)]
struct Copy {
    from: Place,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

/// A record that was copied.
#[derive(Debug)]
struct Moved {
    key: Box<[u8]>,
    from: Location,
    to: Location,
}

/// Replaces all sealed segments by one. Clients read and write meanwhile.
///
/// The new segment takes the name of the newest old one: that rename is the switch. A segment that
/// says that it is a base replaces all with smaller ids. So it doesn't matter when they are
/// removed, and tombstones needn't be copied: no older value of their keys is left.
pub(crate) async fn compact(shared: &Shared) -> Result<()> {
    let old = shared.index().sealed.clone();
    let Some(newest) = old.last() else {
        return Ok(());
    };
    let mut len = 0;
    for segment in &old {
        len += segment.len()?;
    }
    let new = Segment::create(&shared.dir, newest.id, true, len);
    let mut new = Appender::new(new.await.context("can't make a segment")?);
    let mut moved = Vec::new();
    for segment in &old {
        copy(shared, segment, &mut new, &mut moved).await?;
    }
    let new = new.seal().await.context("can't seal the new segment")?;
    shared.dir.publish(newest.id).await?;

    {
        let mut index = shared.index();
        for Moved { key, from, to } in moved {
            // What was replaced meanwhile is in a newer segment.
            if index.has(&key, &from) {
                index.apply(&key, Some(to));
            }
        }
        index.sealed.splice(..old.len(), [new]);
    }
    let replaced = old.iter().map(|segment| segment.id);
    let replaced = replaced.filter(|id| *id != newest.id);
    shared
        .dir
        .remove(replaced)
        .await
        .context("can't remove old segments")
}

/// Copies the live records of a segment.
async fn copy(
    shared: &Shared,
    segment: &Arc<Segment>,
    new: &mut Appender,
    moved: &mut Vec<Moved>,
) -> Result<()> {
    let mut copies = Copies::default();
    let mut scan = Scan::new(segment, false)?;
    while let Some(commit) = scan.next().await? {
        for (place, record) in commit.records(segment.salt) {
            let Some(value) = record.value else { continue };
            let live = shared.index().has(record.key, &location(segment, place));
            if live {
                copies.len += place.len;
                copies.records.push(Copy {
                    from: place,
                    key: record.key.into(),
                    value: value.into(),
                });
            }
        }
        if copies.len >= COMMIT {
            write(segment, &mut copies, new, moved).await?;
        }
    }
    write(segment, &mut copies, new, moved).await
}

/// Appends what was copied to the new segment, as one commit.
async fn write(
    segment: &Arc<Segment>,
    copies: &mut Copies,
    new: &mut Appender,
    moved: &mut Vec<Moved>,
) -> Result<()> {
    let copies = std::mem::take(copies);
    if copies.records.is_empty() {
        return Ok(());
    }
    let records = copies.records.iter().map(|copy| Record {
        key: &copy.key,
        value: Some(&copy.value),
    });
    let records: Vec<_> = records.collect();
    let places = new.append(&records).await.context("can't write")?;
    for (copy, to) in copies.records.into_iter().zip(places) {
        moved.push(Moved {
            key: copy.key,
            from: location(segment, copy.from),
            to: location(&new.segment, to),
        });
    }
    Ok(())
}
