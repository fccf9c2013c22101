//! Measures this stack and the alternatives, side by side in one process. The library's page
//! describes the commands.

mod blocks;
mod cached;
mod contents;
mod crew;
mod engine;
mod executor;
mod file;
mod maps;
mod pace;
mod run;
mod timing;
mod usage;
mod work;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use aio_bench::{Cell, Contents, Record};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use engine::{Kind, SetUpError};
use serde::Serialize;

/// Measures native AIO and the alternatives, side by side. `cargo xtask bench` runs it.
#[derive(Parser)]
#[command(name = "aio-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the engines
    Engines,
    /// Make a file to measure with
    Prepare {
        /// Its contents
        #[arg(long)]
        kind: FileKind,
        /// Its length in bytes
        #[arg(long)]
        bytes: u64,
        /// Its path. An existing file is replaced
        file: PathBuf,
    },
    /// Run a cell: its engines take turns
    Cell {
        /// The cell as JSON, or - for standard input
        cell: String,
    },
    /// Do an exact number of operations with one engine
    Count {
        /// The engine's name
        #[arg(long)]
        engine: String,
        /// The number of operations
        #[arg(long)]
        operations: u64,
        /// The cell as JSON, or - for standard input
        cell: String,
    },
    /// Measure the memory of an engine
    Memory {
        /// The engine's name
        #[arg(long)]
        engine: String,
        /// The cell as JSON, or - for standard input
        cell: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum FileKind {
    /// Allocated and never written: reads as zeros
    Unwritten,
    /// Written: each sector begins and ends with its number
    Written,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aio-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Engines => {
            for kind in Kind::all() {
                writeln!(io::stdout(), "{}\t{}", kind.name, kind.what)?;
            }
            Ok(())
        }
        Command::Prepare { kind, bytes, file } => {
            let contents = match kind {
                FileKind::Unwritten => Contents::Zeros,
                FileKind::Written => Contents::Numbered,
            };
            file::prepare(&file, contents, bytes)
        }
        Command::Cell { cell } => run::cell(&parse(&cell)?, |record| say(&record)),
        Command::Count {
            engine,
            operations,
            cell,
        } => {
            let round = run::count(&parse(&cell)?, &engine, operations);
            answer(engine, round)
        }
        Command::Memory { engine, cell } => {
            let memory = run::memory(&parse(&cell)?, &engine);
            answer(engine, memory)
        }
    }
}

fn parse(json: &str) -> Result<Cell> {
    let cell = if json == "-" {
        serde_json::from_reader(io::stdin().lock())
    } else {
        serde_json::from_str(json)
    };
    cell.context("the argument isn't a cell")
}

/// Prints the result, or that the engine can't run.
fn answer(engine: String, found: Result<impl Serialize, SetUpError>) -> Result<()> {
    match found {
        Ok(found) => say(&found),
        Err(SetUpError::Unavailable(reason)) => say(&Record::Unavailable { engine, reason }),
        Err(SetUpError::Failed(error)) => Err(error.context(engine)),
    }
}

/// Prints a line and flushes it, because the reader shows it at once.
fn say(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
