//! A master for I/O: one process reads and writes files for other processes.
//!
//! The literature calls this an asynchronous master handler. A client passes three kinds of
//! descriptors over a Unix socket: its memory, an eventfd, and the files that it wants to read or
//! write. Then it sends requests. The master submits them to one native AIO queue, so the kernel
//! moves the data between the file and the client's memory. No data goes over the socket. The
//! completions go into a ring in shared memory, and the client's eventfd says that there are some.
//!
//! ```text
//! cargo run --release --example io_master -- serve --socket /tmp/master
//! echo hello | cargo run --example io_master -- write --socket /tmp/master FILE
//! cargo run --example io_master -- read --socket /tmp/master FILE
//! ```
//!
//! `wire` says what goes over the socket, and `ring` what is in the ring. `server` has the loop.
//! `client` is what another program would use.
//!
//! **What bounds a client's rights.** The master never opens a file for a client. A client can only
//! read and write what it could open itself, because each descriptor has its access mode.
//!
//! **A client that lies harms only itself.** The master's processor never touches a client's data,
//! and never waits for a client. Four files say how:
//!
//! - `server/memory`: a client's memory can't shrink while the kernel uses it;
//! - `server/files`: the master serves only files whose I/O ends by itself;
//! - `server/bell`: signalling a client's eventfd can't block;
//! - `server/closer`: closing what a client has passed along can block, so a thread does it.
//!
//! **What a client can still do.** Clients share devices, so one can keep a device busy. The loop
//! waits for buffered files, because the kernel carries out such requests within `io_submit`. So
//! clients should open files with `O_DIRECT`. The kernel takes writes for the master's: a master
//! that runs as root may use the blocks that a file system reserves for root. So it should run as
//! an ordinary user.

mod args;
mod client;
mod copying;
#[path = "../epoll_server/poller.rs"]
mod poller;
mod ring;
mod server;
mod socket;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io_master: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Serve(args) => server::serve(args),
        Command::Read(args) => copying::read(args),
        Command::Write(args) => copying::write(args),
    }
}
