//! Runs the models of I/O on Linux side by side, and says what each costs.
//!
//! The literature sorts models of I/O by two questions. Does a call wait until the data are there
//! (blocking)? Does the program get the data by the call itself (synchronous), or is it told later
//! (asynchronous)? This program runs models for each of the four answers, and models with threads:
//!
//! ```text
//! cargo run --release --example io_models -- --plot models.svg
//! cargo run --example io_models -- --explain
//! ```
//!
//! `models` is the list of all models. `on_file/` and `on_pipes/` have the code of each, in a few
//! lines. `run` measures them.

mod args;
mod blocks;
mod calls;
mod counted;
mod explain;
mod models;
mod notes;
mod on_file;
mod on_pipes;
mod other;
mod pipes;
mod plot;
mod posix;
mod progress;
mod run;
mod select;
mod series;
mod table;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io_models: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.explain {
        print!("{}", explain::text());
        return Ok(());
    }
    // A plot that can't be written is an error before the models run, not after.
    let plot = args.plot.as_deref().map(plot::Target::open).transpose()?;
    let results = series::measure(args)?;
    print!("{}", table::text(&results));
    print!("{}", notes::text(&results));
    if let Some(plot) = plot {
        plot.write(&results)?;
    }
    Ok(())
}
