//! One measurement: the file, the workload, the queue depth and the threads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One measurement that several engines make in turns. The program takes it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The file that is read or written. The whole file is used. Its length is a multiple of
    /// `block`.
    pub file: PathBuf,
    /// How the file is opened, and what the page cache has of it.
    pub caching: Caching,
    /// The contents of the file. Every read is checked against them.
    pub contents: Contents,
    /// The operations.
    pub workload: Workload,
    /// The length of an operation in bytes.
    pub block: u32,
    /// The number of operations that each thread has in flight.
    pub depth: u32,
    /// The number of threads.
    pub threads: u32,
    /// What the threads share.
    pub sharing: Sharing,
    /// The engines, in their order in a round, by the names that `aio-bench engines` lists.
    pub engines: Vec<String>,
    /// The number of turns of each engine.
    pub rounds: u32,
    /// The length of a turn in milliseconds.
    pub round_ms: u32,
    /// Whether to take the time of each operation as well. Taking the time costs time, so this is
    /// done in rounds of its own.
    pub latency: bool,
}

/// The operations on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Reads of blocks in random order.
    RandomRead,
    /// Reads of one block after the other.
    SequentialRead,
    /// Writes of blocks in random order.
    RandomWrite,
    /// Writes of blocks in random order, with an fdatasync after each batch.
    WriteFdatasync,
}

/// How a file is opened, and what the page cache has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caching {
    /// Opened with `O_DIRECT`: transfers bypass the page cache.
    Direct,
    /// Opened without it. The page cache has the whole file. A turn fails if more than 5 % of what
    /// it read came from a device. For reads only.
    Cached,
    /// Opened without it. The page cache has nothing of the file when a turn begins, and the kernel
    /// reads nothing ahead. Blocks are drawn so that none is read twice in a turn, if the file is
    /// large enough. A turn fails if less than 95 % of what it read came from a device. For reads
    /// only.
    Uncached,
}

/// What several threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Each thread has a queue of its own.
    OwnQueues,
    /// All threads use one queue, which is as deep as all of them need together.
    OneQueue,
}

/// The contents of a file. `aio-bench prepare` makes them, and writes keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Zeros. The space is allocated and was never written, so reads don't reach the device. Or the
    /// device answers with zeros.
    Zeros,
    /// Each sector of 512 bytes begins and ends with eight bytes that derive from its number.
    Numbered,
}
