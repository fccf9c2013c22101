//! A key-value store on tokio, whose disk I/O is native AIO with `O_DIRECT`.
//!
//! ```text
//! cargo run --release --example tokio_kv -- serve /var/tmp/kv
//! ```
//!
//! In another terminal:
//!
//! ```text
//! cargo run --release --example tokio_kv -- put /var/tmp/kv name Ada
//! cargo run --release --example tokio_kv -- get /var/tmp/kv name
//! ```
//!
//! One thread serves all clients: tokio's reactor watches their sockets and the eventfd of the
//! `aio_safe::Queue`. It shows:
//!
//! - **Group commit** (`store/writer.rs`). Changes are appended to a log. All changes that come
//!   during one sync go to the disk with the next write and the next sync. Their clients are
//!   answered then.
//! - **Recovery** (`store/recover.rs`). A write that a kill or a power failure cut short is cut
//!   off. Damage anywhere else is an error that names the file and the offset.
//! - **Concurrent reads** (`store/segment.rs`). The index is in memory. Each read of the disk
//!   checks a checksum.
//! - **Compaction** (`store/compact.rs`) copies live values to a new file while clients read and
//!   write, and puts it in place with one rename.

mod args;
mod check;
mod client;
mod disk;
mod protocol;
mod serve;
mod store;

use std::{path::Path, process::ExitCode};

use aio_safe::{Queue, queue::Driver};
use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::Builder;

use args::{Args, Command};

/// How many reads, writes and syncs are in flight at most.
const DEPTH: u32 = 64;

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tokio_kv: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve { dir } => with_queue(async |queue| serve::run(&dir, queue).await),
        Command::Check { dir } => with_queue(async |queue| check::run(&dir, queue).await),
        Command::Put { dir, key, value } => on(&dir)?.put(&key, &value),
        Command::Get { dir, key } => on(&dir)?.get(&key),
        Command::Delete { dir, key } => on(&dir)?.delete(&key),
        Command::List { dir } => on(&dir)?.list(),
        Command::Compact { dir } => on(&dir)?.compact(),
    }
}

fn on(dir: &Path) -> Result<client::Client> {
    client::Client::connect(dir)
}

/// Runs a task and everything that it spawns in this thread. The runtime drives the queue too.
fn with_queue(task: impl AsyncFnOnce(&Queue) -> Result<ExitCode>) -> Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let builder = Queue::builder(DEPTH).driver(Driver::Tokio);
        let queue = builder.build().context("can't make a queue")?;
        let code = task(&queue).await;
        // It waits for what is in flight, and 30 ms for the kernel. Nothing else is left to run.
        let closed = queue.close().context("can't close the queue");
        code.and_then(|code| closed.map(|()| code))
    })
}
