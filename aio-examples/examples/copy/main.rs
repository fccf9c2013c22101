//! Copies a file with many reads and writes in flight.
//!
//! ```text
//! cargo run --release --example copy -- --depth 16 --block 1M SOURCE TARGET
//! ```
//!
//! It shows what a whole program around native AIO looks like:
//!
//! - `engine` copies the data. Each of `--depth` tasks has a buffer. It reads a block, writes it,
//!   and takes the next one. All of them run in one thread, and direct I/O goes on meanwhile.
//! - `data` finds the holes, so that they stay holes.
//! - `draft` is the new file. It has no name until it is complete and on the disk. So an error,
//!   Ctrl-C or a kill leaves no half file. `--help` names the exceptions.
//! - `metadata` keeps what `cp -p` keeps. `places` refuses what can't be copied.

mod args;
mod data;
mod draft;
mod engine;
mod metadata;
mod places;
mod progress;
mod run;
mod signals;

use std::{fs::File, process::ExitCode};

use aio_safe::{Queue, fs::OpenOptions, queue::Driver};
use anyhow::{Context, Result};
use clap::Parser;
use rustix::io::Errno;

use args::Args;
use draft::Draft;
use engine::Engine;
use places::Places;
use progress::Progress;
use signals::Signals;

fn main() -> ExitCode {
    let args = Args::parse();
    let copied = Signals::catch().and_then(|signals| {
        let copied = copy(&args, &signals);
        // After an error, because a signal ends the copy with one.
        if copied.is_err() {
            signals.end_if_caught();
        }
        copied
    });
    match copied {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("copy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn copy(args: &Args, signals: &Signals) -> Result<()> {
    let places = Places::find(&args.source, &args.target)?;
    let cannot_read = || format!("can't read {}", args.source.display());
    let source = OpenOptions::new()
        .read(true)
        .open(&args.source)
        .with_context(cannot_read)?;
    let metadata = source.as_std().metadata().with_context(cannot_read)?;

    let queue = Queue::builder(args.depth)
        .driver(Driver::Caller)
        .build()
        .context("can't make a queue")?;
    let cannot_write = || format!("can't write {}", places.target.display());
    let draft = Draft::new(&places.dir).with_context(cannot_write)?;
    let target = draft.file();
    let engine = Engine {
        queue: &queue,
        source: &source,
        target,
        depth: args.depth,
        block: args.block,
        stop: signals.flag(),
    };
    let len = metadata.len();
    let data = data::find(source.as_std(), len, engine.alignment()).with_context(cannot_read)?;
    let progress = Progress::new(data.iter().map(|range| range.end - range.start).sum());
    engine.copy(len, &data, |bytes| progress.add(bytes))?;
    // The kernel takes some 30 ms to close it, and nobody has to wait for that.
    drop(queue.close_in_thread());

    let lost = metadata::keep(source.as_std(), &metadata, target.as_std())
        .context("can't keep the metadata")?;
    target.as_std().sync_all().with_context(cannot_write)?;
    signals.check()?;
    draft.publish(&places.target).with_context(cannot_write)?;
    sync_directory(&places.dir).with_context(cannot_write)?;
    drop(progress);
    for what in lost {
        eprintln!("copy: note: {what}");
    }
    Ok(())
}

/// Makes the file's name durable.
fn sync_directory(dir: &std::path::Path) -> std::io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some file systems can't sync directories.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        other => other,
    }
}
