//! A block server over TCP: sockets and disk wait in one epoll loop, in one thread.
//!
//! Epoll can't watch a file on a disk: `epoll_ctl` refuses it with EPERM. This program shows what
//! native AIO does about that. The queue has an eventfd, which the kernel signals when a read, a
//! write or a sync is over. Epoll watches the eventfd beside the sockets. So one thread serves many
//! clients, and none of them waits while the disk works for another one.
//!
//! ```text
//! cargo run --release --example epoll_server -- serve --file disk.img --size 64MiB
//! echo hello | cargo run --example epoll_server -- put ADDRESS 4096
//! cargo run --example epoll_server -- get ADDRESS 4096 4096
//! ```
//!
//! `server` is the loop, and `disk` has the queue. `connection` has a client's requests and
//! responses, and its limits: slow, dead and lying clients cost only themselves. `protocol` says
//! what goes over the wire.

mod args;
mod client;
mod connection;
mod copying;
mod disk;
mod file;
mod limits;
mod poller;
mod protocol;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("epoll_server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Serve(args) => server::serve(args),
        Command::Put(args) => copying::put(args),
        Command::Get(args) => copying::get(args),
    }
}
