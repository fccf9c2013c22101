//! A segment: its head, and reads of its records.

use std::{io, ops::Deref, sync::Arc};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result, anyhow, ensure};

use super::{
    super::disk::{blocking, salt},
    commit::Place,
    dir::Dir,
    file::File,
    format::{BLOCK, checksum, split},
    record::Record,
};

const MAGIC: [u8; 8] = *b"aio-kv\x01\n";
/// Magic, id, salt, base.
const HEAD: usize = 32;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    /// What the checksums of this segment cover besides the bytes.
    pub(crate) salt: u64,
    /// Whether it replaces all segments of smaller ids.
    pub(crate) base: bool,
    pub(crate) file: File,
}

/// A value that was read, and verified.
#[derive(Debug)]
pub(crate) struct Value {
    block: AlignedBuf,
    start: usize,
    end: usize,
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }
}

impl Segment {
    /// Makes a segment with the name of one that isn't ready: see [`Dir::publish`].
    ///
    /// Its blocks are allocated up to `len`. Writes beyond the end of a file would block: ext4 and
    /// other file systems carry them out within `io_submit`.
    pub(crate) async fn create(dir: &Dir, id: u64, base: bool, len: u64) -> io::Result<Arc<Self>> {
        let file = File::new(dir.queue(), dir.new_segment(id, len).await?);
        let salt = salt();
        file.write(head(id, salt, base)?, 0).await?;
        file.sync_all().await?;
        Ok(Arc::new(Self {
            id,
            salt,
            base,
            file,
        }))
    }

    /// Opens a segment, and verifies its head.
    pub(crate) async fn open(dir: &Dir, id: u64) -> Result<Arc<Self>> {
        let file = dir.segment(id);
        let file = file.with_context(|| format!("can't open {}", dir.shown(id)))?;
        let file = File::new(dir.queue(), file);
        let head = file.read(0, BLOCK).await;
        let head = head.with_context(|| format!("can't read the head of segment {id}"))?;
        let (salt, base) =
            parse(&head, id).ok_or_else(|| anyhow!("segment {id} is damaged at offset 0"))?;
        Ok(Arc::new(Self {
            id,
            salt,
            base,
            file,
        }))
    }

    /// Reads a value, and verifies its checksum.
    pub(crate) async fn read(&self, place: Place, key: &[u8]) -> Result<Value> {
        let Place { offset, len } = place;
        let start = (offset % BLOCK as u64) as usize;
        let block = self.file.read(offset - start as u64, start + len).await;
        let block =
            block.with_context(|| format!("can't read segment {} at offset {offset}", self.id))?;
        let record = Record::decode(self.salt, offset, &block[start..start + len]);
        let value = record.filter(|record| record.key == key);
        let value = value.and_then(|record| record.value);
        let Some(value) = value else {
            return Err(self.damage(offset));
        };
        let end = start + len;
        let start = end - value.len();
        Ok(Value { block, start, end })
    }

    pub(crate) fn damage(&self, offset: u64) -> anyhow::Error {
        anyhow!("segment {} is damaged at offset {offset}", self.id)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.file.file().len()
    }

    /// Cuts off what is behind an offset.
    pub(crate) async fn cut(self: &Arc<Self>, len: u64) -> Result<()> {
        ensure!(len % BLOCK as u64 == 0, "cut within a block");
        let segment = Arc::clone(self);
        Ok(blocking(move || segment.file.file().set_len(len)).await?)
    }
}

/// The first block.
fn head(id: u64, salt: u64, base: bool) -> io::Result<AlignedBuf> {
    let mut block = AlignedBuf::zeroed(BLOCK, BLOCK)?;
    let fields = [
        MAGIC,
        id.to_le_bytes(),
        salt.to_le_bytes(),
        u64::from(base).to_le_bytes(),
    ]
    .concat();
    block[..HEAD].copy_from_slice(&fields);
    block[HEAD..HEAD + 4].copy_from_slice(&checksum(salt, 0, &fields).to_le_bytes());
    Ok(block)
}

/// The salt of a segment, and whether it is a base.
fn parse(block: &[u8], id: u64) -> Option<(u64, bool)> {
    let (_, rest) = split::<16>(block)?;
    let (salt, rest) = split(rest)?;
    let (base, _) = split(rest)?;
    let (salt, base) = (u64::from_le_bytes(salt), u64::from_le_bytes(base) == 1);
    let expected = head(id, salt, base).ok()?;
    (*expected == *block).then_some((salt, base))
}
