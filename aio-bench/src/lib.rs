//! The types that the program `aio-bench` and `cargo xtask bench` share: what is measured, and the
//! records of it.
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
//! `JSON` is a [`Cell`], and `-` reads it from standard input. `count` and `memory` ignore its
//! `engines`, `rounds`, `round_ms` and `latency`. They print a [`Record::Unavailable`] when the
//! engine can't run. The exit status is 0 if all results were right. It is 1, after a message, when
//! a transfer fails, is short, or leaves other contents in the buffer than the file holds.
//!
//! All engines of a cell are set up once and have a turn to warm up, which isn't reported. Then
//! they take turns, and each round begins with the next engine. With [`latency`](Cell::latency),
//! the same number of rounds follows in which the time of each operation is taken. These rounds are
//! reported only in [`Record::Latency`].
//!
//! Two runs of `count`, with N and with 2 N operations, differ by N operations only. Subtracting
//! one count from the other removes the set-up and the end. The difference contains drawing and
//! checking the blocks, which is what `nothing` does.
//!
//! # The engines
//!
//! Without features, the program has the floor and this stack's engines. The floor's system calls
//! are inlined: the instruction is in the loop's own function. The engine `floor-framed` isn't
//! listed and differs from the floor in one thing: each system call is in a function that isn't
//! inlined. `cargo xtask bench --explain returns` compares the two.
//!
//! The feature `peers` adds the alternatives to it. A [`Record::Unavailable`] says why an engine
//! can't run here, can't do what a cell asks for, or wasn't built. Building `linux-aio-tokio` needs
//! libclang, and `--cfg linux_aio_tokio` in `RUSTFLAGS`.
//!
//! All engines draw their blocks with the same generator, check each block that they read with the
//! same code, and reuse aligned buffers that were made before the first turn. They differ in how
//! they submit and reap.

mod cell;
mod record;

pub use cell::{Caching, Cell, Contents, Sharing, Workload};
pub use record::{Memory, Percentiles, Record, Round};

/// The repository's README, so that its example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
