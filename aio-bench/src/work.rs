//! The common part of all engines: the file, the blocks, and the check of each block.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use aio_bench::{Caching, Cell, Workload};
use aio_safe::{AlignedBuf, buf::Pool};
use aio_sys::Errno;
use anyhow::{Error, Result, anyhow, ensure};

use crate::{
    blocks::Blocks,
    contents::{self, Pattern, SECTOR},
    file,
};

/// The bytes of all data buffers that were allocated.
static DATA: AtomicU64 = AtomicU64::new(0);

/// Returns the bytes of all data buffers that were allocated so far.
pub(crate) fn data_bytes() -> u64 {
    DATA.load(Relaxed)
}

/// The work of one thread of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// The file. Each engine opens it anew.
    pub(crate) file: Arc<File>,
    /// The length of an operation in bytes.
    pub(crate) block: usize,
    /// The number of operations in flight.
    pub(crate) depth: usize,
    /// Whether the operations are writes.
    pub(crate) write: bool,
    /// Whether an fdatasync follows each `depth` writes.
    pub(crate) sync: bool,
    /// The number of the thread among its engine's threads.
    pub(crate) thread: usize,
    blocks: Blocks,
    pattern: Pattern,
    count: u64,
    order: Order,
}

/// The order of the blocks.
#[derive(Clone, Copy, Debug)]
enum Order {
    Random,
    Sequential,
    Scattered,
}

/// The position of an engine's thread among all of them. It gives each thread other blocks, because
/// a device may answer from its cache when a block is read again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl Work {
    pub(crate) fn new(cell: &Cell, place: Place) -> Result<Self> {
        ensure!(
            cell.block > 0 && cell.block as usize % SECTOR == 0,
            "a block must be a multiple of {SECTOR} bytes, not {}",
            cell.block
        );
        ensure!(cell.depth > 0, "a cell needs a depth of at least 1");
        let write = match cell.workload {
            Workload::RandomRead | Workload::SequentialRead => false,
            Workload::RandomWrite | Workload::WriteFdatasync => true,
        };
        ensure!(
            !write || cell.caching == Caching::Direct,
            "writes through the page cache aren't measured"
        );
        let (opened, bytes) = file::open(&cell.file, cell.caching, write)?;
        let count = file::blocks(&cell.file, bytes, cell.block)?;
        let order = match (cell.workload, cell.caching) {
            (Workload::SequentialRead, _) => Order::Sequential,
            (_, Caching::Uncached) => Order::Scattered,
            _ => Order::Random,
        };
        Ok(Self {
            file: Arc::new(opened),
            block: cell.block as usize,
            depth: cell.depth as usize,
            write,
            sync: cell.workload == Workload::WriteFdatasync,
            thread: 0,
            blocks: draw(count, order, 0, 1, place),
            pattern: Pattern::of(cell.contents),
            count,
            order,
        })
    }

    /// The work of one of the engine's threads, of which there are `threads`.
    pub(crate) fn of_thread(&self, thread: usize, threads: u64, place: Place) -> Self {
        Self {
            thread,
            blocks: draw(self.count, self.order, thread as u64, threads, place),
            ..self.clone()
        }
    }

    /// A buffer for one operation.
    pub(crate) fn buffer(&self) -> Result<AlignedBuf> {
        DATA.fetch_add(self.block as u64, Relaxed);
        let mut buffer = AlignedBuf::zeroed(self.block, self.block.next_power_of_two().max(4096))?;
        contents::poison(&mut buffer);
        Ok(buffer)
    }

    /// A pool with a buffer for each operation in flight.
    pub(crate) fn pool(&self) -> Result<Pool> {
        let align = self.block.next_power_of_two().max(4096);
        DATA.fetch_add((self.depth * align) as u64, Relaxed);
        Ok(Pool::new(self.depth, self.block, align)?)
    }

    /// Buffers for all operations in flight.
    pub(crate) fn buffers(&self) -> Result<Vec<AlignedBuf>> {
        (0..self.depth).map(|_| self.buffer()).collect()
    }

    /// Draws the next block, and makes the buffer ready for it. Returns the block's offset in the
    /// file, in bytes.
    #[inline]
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> u64 {
        let offset = self.blocks.next() * self.block as u64;
        if self.write {
            self.pattern.stamp(buffer, offset);
        }
        offset
    }

    /// Checks an operation on the block at `offset`. `result` is what the kernel said: a count of
    /// bytes, or an errno times -1. Afterwards the buffer is ready for the next operation.
    ///
    /// # Errors
    ///
    /// The operation failed or was short, or a read got wrong contents.
    #[inline]
    pub(crate) fn done(&self, buffer: &mut [u8], offset: u64, result: i64) -> Result<()> {
        if result != self.block as i64 {
            return Err(self.failed(offset, result));
        }
        if !self.write {
            if !self.pattern.is_in(buffer, offset) {
                return Err(self.wrong(buffer, offset));
            }
            contents::poison(buffer);
        }
        Ok(())
    }

    #[cold]
    fn failed(&self, offset: u64, result: i64) -> Error {
        let errno = i32::try_from(-result).ok().and_then(Errno::from_raw);
        let what = self.what(offset);
        match errno {
            Some(errno) => anyhow!("{what}: {errno}"),
            None => anyhow!("{what}: {result} bytes instead of {}", self.block),
        }
    }

    #[cold]
    fn wrong(&self, buffer: &[u8], offset: u64) -> Error {
        let (first, last) = self.pattern.expected(self.block, offset);
        let (found_first, found_last) = contents::ends(buffer).unwrap_or_default();
        anyhow!(
            "{}: wrong contents: it begins with {found_first:#018x} instead of {first:#018x} \
             and ends with {found_last:#018x} instead of {last:#018x}",
            self.what(offset)
        )
    }

    fn what(&self, offset: u64) -> String {
        let what = if self.write { "write" } else { "read" };
        format!("{what} of {} bytes at byte {offset}", self.block)
    }
}

fn draw(count: u64, order: Order, thread: u64, threads: u64, place: Place) -> Blocks {
    let start = |count| (u128::from(count) * u128::from(place.index) / u128::from(place.of)) as u64;
    match order {
        Order::Random => Blocks::random(count, place.index),
        Order::Sequential => Blocks::sequential(count, start(count)),
        // No two threads read the same block.
        Order::Scattered => {
            let count = count / threads;
            Blocks::scattered(thread * count, count, start(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use aio_bench::{Contents, Sharing};

    use super::*;

    /// Work on a file of zeros, with blocks of 1024 bytes. The file isn't opened with `O_DIRECT`,
    /// because nothing is transferred.
    fn work(write: bool) -> Work {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        Work {
            file: Arc::new(file),
            block: 1024,
            depth: 2,
            write,
            sync: false,
            thread: 0,
            blocks: Blocks::sequential(4, 3),
            pattern: Pattern::of(Contents::Zeros),
            count: 4,
            order: Order::Sequential,
        }
    }

    fn message(result: Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_read_that_did_not_happen_is_noticed() {
        let mut work = work(false);
        let mut buffer = work.buffer().unwrap();
        let offset = work.next(&mut buffer);
        assert_eq!(offset, 3072);
        assert!(message(work.done(&mut buffer, offset, 1024)).contains("wrong contents"));
        buffer.fill(0);
        work.done(&mut buffer, offset, 1024).unwrap();
        // The next read doesn't happen either.
        let offset = work.next(&mut buffer);
        assert!(message(work.done(&mut buffer, offset, 1024)).contains("wrong contents"));
    }

    #[test]
    fn what_is_short_or_fails_is_noticed() {
        for write in [false, true] {
            let work = work(write);
            let mut buffer = work.buffer().unwrap();
            buffer.fill(0);
            let short = message(work.done(&mut buffer, 0, 512));
            assert!(short.ends_with("512 bytes instead of 1024"), "{short}");
            let nothing = message(work.done(&mut buffer, 0, 0));
            assert!(nothing.ends_with("0 bytes instead of 1024"), "{nothing}");
            let failed = message(work.done(&mut buffer, 0, -5));
            assert!(failed.contains("EIO"), "{failed}");
            work.done(&mut buffer, 0, 1024).unwrap();
        }
    }

    #[test]
    fn a_cell_that_means_nothing_is_refused() {
        let cell = |block, depth| Cell {
            file: "/nowhere".into(),
            caching: Caching::Direct,
            contents: Contents::Zeros,
            workload: Workload::RandomRead,
            block,
            depth,
            threads: 1,
            sharing: Sharing::OwnQueues,
            engines: Vec::new(),
            rounds: 1,
            round_ms: 1,
            latency: false,
        };
        let place = Place { index: 0, of: 1 };
        let message = |cell| Work::new(&cell, place).unwrap_err().to_string();
        assert!(message(cell(513, 1)).contains("multiple of 512"));
        assert!(message(cell(0, 1)).contains("multiple of 512"));
        assert!(message(cell(512, 0)).contains("depth"));
        assert!(message(cell(512, 1)).contains("/nowhere"));
        let buffered_write = Cell {
            caching: Caching::Cached,
            workload: Workload::RandomWrite,
            ..cell(512, 1)
        };
        assert!(message(buffered_write).contains("page cache"));
    }
}
