//! The records that the program prints: one JSON value on each line.

use serde::{Deserialize, Serialize};

/// One line of the program's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// An engine of the cell can't run here, or can't run this cell.
    Unavailable {
        /// The engine's name.
        engine: String,
        /// The reason in a few words: "`io_uring` is disabled (EPERM)".
        reason: String,
    },
    /// One engine's turn.
    Round(Round),
    /// The times of single operations, over all rounds in which they were taken.
    Latency {
        /// The engine's name.
        engine: String,
        /// The times from submission until the result was taken.
        percentiles: Percentiles,
    },
}

/// One engine's turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The engine's name.
    pub engine: String,
    /// The number of the round, from 0. The turns of one round follow each other.
    pub round: u32,
    /// The number of operations that were done, each with its block checked.
    pub operations: u64,
    /// The time that they took, in nanoseconds.
    pub ns: u64,
    /// CPU time in user space, of all threads of the process, in nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, of all threads of the process, in nanoseconds.
    pub system_ns: u64,
    /// The number of allocations by Rust's allocator.
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
    /// The longest operation.
    pub max: u64,
}

/// The memory that an engine takes for the operations of one thread of a cell, without the data
/// buffers. It doesn't include what a C library allocates, the stacks of threads, and the kernel's
/// own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The sum of `allocated` and `rings`, in bytes.
    pub bytes: u64,
    /// The bytes that Rust's allocator was asked for.
    pub allocated: u64,
    /// The bytes of the rings that the kernel shares with the process.
    pub rings: u64,
}
