//! One thing to measure: what is done to which file, how deep, by how many threads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One thing to measure, by several engines, interleaved. The program takes it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The file that is read or written, opened with `O_DIRECT`. It is as long as the measurement
    /// may go, a multiple of `block`.
    pub file: PathBuf,
    /// What it holds. Everything that is read is checked against this.
    pub contents: Contents,
    /// What is done to it.
    pub workload: Workload,
    /// Bytes of an operation.
    pub block: u32,
    /// Operations in flight, of each thread.
    pub depth: u32,
    /// How many threads there are.
    pub threads: u32,
    /// What they share.
    pub sharing: Sharing,
    /// Who does it, in this order in each round: names as `aio-bench engines` lists them.
    pub engines: Vec<String>,
    /// How often each engine has its turn.
    pub rounds: u32,
    /// How long a turn lasts.
    pub round_ms: u32,
    /// Take the time of each operation as well, in rounds of their own: it costs time itself.
    pub latency: bool,
}

/// What is done to the file.
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

/// What several threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Each thread has a queue of its own.
    OwnQueues,
    /// All use one queue, as deep as all of them need together.
    OneQueue,
}

/// What the file holds: as `aio-bench prepare` makes it, and as writes leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Zeros: space that was allocated and never written, for which no device is asked; or a device that
    /// answers with zeros.
    Zeros,
    /// Each sector of 512 bytes begins and ends with eight bytes made of its number.
    Numbered,
}
