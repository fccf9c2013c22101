//! The program's arguments.

use std::path::PathBuf;

use clap::{Parser, value_parser};

use crate::{blocks::BLOCK, pipes::PIPES};

/// Runs the models of I/O on Linux side by side, and says what each costs.
///
/// Each model reads blocks from a file, or messages from four slow pipes. The file is made for this
/// and has no name, so nothing is left behind. Reads bypass the page cache, except for the models
/// that need it.
///
/// Each model runs twice. The first run does nothing but the I/O: time, CPU time, system calls,
/// context switches and latency are of that run. In the second run, the calling thread also does
/// other work while the model lets it.
#[derive(Debug, Parser)]
#[command(name = "io_models", after_help = after_help())]
pub(crate) struct Args {
    /// The directory of the file that is read. It should be on a disk: a file system in memory has
    /// nothing to wait for.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// How many blocks of 64 KiB each model reads from the file.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 512,
        value_parser = value_parser!(u32).range(1..=16384)
    )]
    pub(crate) blocks: u32,

    /// How many messages come through each of the four pipes.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 25,
        value_parser = value_parser!(u32).range(1..=100_000)
    )]
    pub(crate) messages: u32,

    /// The time between two messages, in milliseconds.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 2,
        value_parser = value_parser!(u32).range(1..=1000)
    )]
    pub(crate) interval: u32,

    /// Also writes a plot of the results to this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Explains the models, and runs none.
    #[arg(long)]
    pub(crate) explain: bool,
}

fn after_help() -> &'static str {
    const { assert!(PIPES == 4 && BLOCK == 64 << 10, "the help names both") };
    "Example: cargo run --release --example io_models -- --dir /var/tmp --plot models.svg"
}
