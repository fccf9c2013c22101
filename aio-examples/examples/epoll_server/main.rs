//! A block server over TCP: sockets and disk wait in one epoll loop, in one thread.
//!
//! A thread that waits in `epoll_wait` for its sockets can't also wait for a disk. This program shows
//! how native AIO solves that: the queue has an eventfd, which epoll watches as it watches a socket.
//! So one thread serves many clients, and never waits for a read or a write of the disk.
//!
//! ```text
//! cargo run --release --example epoll_server -- serve --file disk.img --size 64MiB
//! echo hello | cargo run --example epoll_server -- put ADDRESS 4096
//! cargo run --example epoll_server -- get ADDRESS 4096 4096
//! ```
//!
//! Where to read: `server` is the loop, and each step of a turn is a method. `disk` has the queue:
//! reads and writes go through a lane, all of a turn in one `io_submit`. `connection` has a client's
//! requests and responses, and the limits that make slow, dead and lying clients cost only
//! themselves. `protocol` says what goes over the wire.

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
