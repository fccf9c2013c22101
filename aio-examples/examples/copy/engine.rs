//! Copies the data.

use std::{
    cell::RefCell,
    io,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use aio_safe::{
    AlignedBuf, Queue,
    buf::AllocError,
    fs::{Alignment, Error, File},
};
use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use crate::run::run;

/// What is copied, and how.
pub(crate) struct Engine<'a> {
    pub(crate) queue: &'a Queue,
    pub(crate) source: &'a File,
    pub(crate) target: &'a File,
    /// How many reads and writes are in flight at a time.
    pub(crate) depth: u32,
    /// The size of a read or write in bytes. It is rounded up to the files' alignment.
    pub(crate) block: usize,
    /// If it isn't 0, the copy stops with an error.
    pub(crate) stop: &'a AtomicUsize,
}

impl Engine<'_> {
    /// Blocks begin at multiples of this, so that both files can have them.
    pub(crate) fn alignment(&self) -> u64 {
        let of = |Alignment { offset, length, .. }| offset.max(length as u64);
        of(self.source.alignment()).max(of(self.target.alignment()))
    }

    /// Copies the parts that have data, and gives the target the length `len`. The parts begin at
    /// multiples of the [alignment](Self::alignment). `copied` is called with the number of bytes
    /// of each block.
    pub(crate) fn copy(&self, len: u64, data: &[Range<u64>], copied: impl Fn(u64)) -> Result<()> {
        // Writes that don't change the file's length can run side by side. A direct write of the
        // last block may be longer than the rest of the file.
        let align = self.target.alignment().length as u64;
        let padded = len.checked_next_multiple_of(align);
        self.target
            .set_len(padded.unwrap_or(len))
            .context("can't write the copy")?;
        self.allocate(data, align)?;
        let size = (self.block as u64).next_multiple_of(self.alignment());
        let blocks = data.iter().flat_map(|part| {
            let starts = part.clone().step_by(size as usize);
            starts.map(|start| start..part.end.min(start + size))
        });
        // A small file needs fewer tasks.
        let count = blocks.clone().take(self.depth as usize).count();
        let blocks = RefCell::new(blocks);
        let next = || blocks.borrow_mut().next();
        let tasks = (0..count).map(|_| self.task(size, &next, &copied));
        run(self.queue, try_join_all(tasks))??;
        self.target.set_len(len).context("can't write the copy")
    }

    /// Allocates the target's blocks. That takes less time than if each write allocates some. Also,
    /// a full disk shows now instead of later.
    fn allocate(&self, data: &[Range<u64>], align: u64) -> Result<()> {
        for part in data {
            let end = part.end.checked_next_multiple_of(align).unwrap_or(part.end);
            match self.target.allocate(part.start, end - part.start) {
                // Writes allocate blocks then.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => break,
                other => other.context("can't write the copy")?,
            }
        }
        Ok(())
    }

    /// Reads and writes one block after the other. Other tasks take other blocks.
    async fn task(
        &self,
        size: u64,
        next: &impl Fn() -> Option<Range<u64>>,
        copied: &impl Fn(u64),
    ) -> Result<()> {
        let mut buffer = self.buffer(size as usize)?;
        while let Some(Range { start, end }) = next() {
            if self.stop.load(Ordering::Relaxed) != 0 {
                bail!("interrupted");
            }
            // This doesn't truncate: a block fits in memory.
            let len = (end - start) as usize;
            buffer.clear();
            let read = self
                .source
                .read_exact_at(self.queue, buffer, len, start)
                .await;
            if let Err(Error::UnexpectedEof { .. }) = read.result {
                bail!("the file that is copied has become shorter");
            }
            read.result
                .with_context(|| format!("can't read at byte {start}"))?;
            buffer = read.buffer;

            // Only whole blocks can be written. What is written behind the end is cut off later.
            buffer.pad_to(self.target.alignment().length)?;
            let written = self.target.write_all_at(self.queue, buffer, start).await;
            written
                .result
                .with_context(|| format!("can't write at byte {start}"))?;
            buffer = written.buffer;
            copied(len as u64);
        }
        Ok(())
    }

    /// A buffer for both files.
    fn buffer(&self, size: usize) -> Result<AlignedBuf, AllocError> {
        let memory = |file: &File| file.alignment().memory;
        AlignedBuf::with_capacity(size, memory(self.source).max(memory(self.target)))
    }
}
