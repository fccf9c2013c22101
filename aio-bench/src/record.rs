//! How the program says what it measured: one JSON value on each line.

use serde::{Deserialize, Serialize};

/// One line of the program's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// An engine of the cell can't run here, or not this cell.
    Unavailable {
        /// Its name.
        engine: String,
        /// Why, in a few words: "`io_uring` is disabled (EPERM)".
        reason: String,
    },
    /// One engine's turn.
    Round(Round),
    /// How long single operations took, over all rounds that took their time.
    Latency {
        /// The engine's name.
        engine: String,
        /// From submission until the result was taken.
        percentiles: Percentiles,
    },
}

/// One engine's turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The engine's name.
    pub engine: String,
    /// Which round it was, from 0: the turns of one round follow each other.
    pub round: u32,
    /// How many operations were done, each with its block checked.
    pub operations: u64,
    /// How long that took, in nanoseconds.
    pub ns: u64,
    /// CPU time in user space, of all threads of the process, in nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, of all threads of the process, in nanoseconds.
    pub system_ns: u64,
    /// How often Rust's allocator was asked for memory.
    pub allocations: u64,
}

/// Percentiles, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of the operations took no longer.
    pub p50: u64,
    /// 90 % took no longer.
    pub p90: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// 99.9 % took no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// The memory that an engine takes for the operations of one thread of a cell, without the buffers of their data.
/// What a C library allocates, the stacks of threads, and what the kernel keeps to itself aren't counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// All of it: the two below.
    pub bytes: u64,
    /// What Rust's allocator was asked for.
    pub allocated: u64,
    /// Rings that the kernel shares with the process.
    pub rings: u64,
}
