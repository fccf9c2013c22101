//! What `aio-bench` measures, and how it says what it measured: what the program and `cargo xtask bench`
//! share.
//!
//! # The program
//!
//! | command | what it does | what it prints |
//! |---|---|---|
//! | `aio-bench engines` | | the engines that were built, a line each: name, tab, what it is |
//! | `aio-bench prepare --kind unwritten --bytes N FILE` | makes a file of [`Contents::Zeros`]: space that was allocated and never written | |
//! | `aio-bench prepare --kind written --bytes N FILE` | makes a file of [`Contents::Numbered`] | |
//! | `aio-bench cell JSON` | runs a [`Cell`] | [`Record`]s, one JSON value on each line, as they come |
//! | `aio-bench count --engine E --operations N JSON` | sets up one engine for the cell, does exactly N operations in one turn, and nothing else | a [`Round`] |
//! | `aio-bench memory --engine E JSON` | sets up one engine for the cell | a [`Memory`] |
//!
//! `JSON` is a [`Cell`]; `-` reads it from standard input. `count` and `memory` don't look at its `engines`,
//! `rounds`, `round_ms` and `latency`, and print a [`Record::Unavailable`] where the engine can't run. The exit
//! status is 0 if everything that was measured was right: a transfer that fails, is short, or leaves something
//! else in the buffer than the file holds ends the program with a message and 1.
//!
//! All engines of a cell are set up once, have a turn that isn't reported to warm up, and then take their turns;
//! each round begins with the next engine. With [`latency`](Cell::latency), as many rounds again follow in which
//! the time of each operation is taken; they are reported in [`Record::Latency`] alone.
//!
//! Two runs of `count`, with N and with 2 N operations, differ by N operations and nothing else: subtracting one
//! from the other leaves out setting up and tearing down. What is left contains drawing the blocks and checking
//! them: as much as is counted of `nothing`, which does just that.
//!
//! # The engines
//!
//! Without features: the floor and this stack's own. The feature `peers` adds what people use instead. One that
//! can't run here, or can't do what a cell asks for, says why in a [`Record::Unavailable`]; so does one that wasn't
//! built. `linux-aio-tokio` needs libclang to be built, and `--cfg linux_aio_tokio` in `RUSTFLAGS` as well.
//!
//! Each draws its blocks with the same generator, checks each block that it reads with the same code, and reuses
//! aligned buffers that were there before its first turn. What differs is how operations are submitted and reaped.

mod cell;
mod record;

pub use cell::{Cell, Contents, Sharing, Workload};
pub use record::{Memory, Percentiles, Record, Round};

/// The repository's README, so that its example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
