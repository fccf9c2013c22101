//! The program's arguments.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use bytesize::ByteSize;
use clap::{Parser, Subcommand, value_parser};

use crate::{
    limits::Limits,
    protocol::{self, BLOCK},
};

/// A block server over TCP: sockets and disk wait in one epoll loop, in one thread.
#[derive(Debug, Parser)]
#[command(name = "epoll_server")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Put(Put),
    Get(Get),
}

/// Serves the blocks of a file, or of a block device.
///
/// Prints the address that it listens on. SIGTERM and SIGINT end it: it accepts nothing more,
/// answers the requests that it has, syncs the file, and exits with 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The file or block device. With --size, a file is made when it doesn't exist.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: PathBuf,

    /// How large the file has to be, for example 64MiB: it grows to this size, and never shrinks.
    /// Without this it stays as large as it is.
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<ByteSize>,

    /// The address to listen on. With port 0 the kernel picks a port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// The queue's depth: how many operations are in flight on the disk at most. One of them is for
    /// a sync.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        value_parser = value_parser!(u32).range(2..=65536)
    )]
    pub(crate) depth: u32,

    /// How many clients are connected at a time. Others wait until one of them leaves.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        value_parser = value_parser!(u32).range(1..=65536)
    )]
    connections: u32,

    /// The longest read or write that a client may ask for.
    #[arg(long, value_name = "BYTES", default_value = "1MiB")]
    request: ByteSize,

    /// How many requests of a connection may be unanswered. When there are so many, the server
    /// reads the next one only after it has sent a response.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = value_parser!(u32).range(1..=65536)
    )]
    in_flight: u32,

    /// How much memory the requests and responses of a connection take. A client that doesn't read
    /// its responses isn't read from any more when they take this much.
    #[arg(long, value_name = "BYTES", default_value = "4MiB")]
    buffered: ByteSize,

    /// A connection is closed when it is idle for this long, when a request isn't whole this long
    /// after it began, or when the client takes longer than this to read a response.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// How long clients have to take their responses when the server ends.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    grace: Duration,
}

/// Writes what comes on standard input to a server, and syncs it.
///
/// The last block is filled with zeros.
#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The server's address.
    pub(crate) address: SocketAddr,
    /// Where the first byte goes: a multiple of 4096.
    pub(crate) offset: u64,
}

/// Reads from a server, and writes to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The server's address.
    pub(crate) address: SocketAddr,
    /// Where the first byte is: a multiple of 4096.
    pub(crate) offset: u64,
    /// How many bytes: a multiple of 4096.
    pub(crate) length: u64,
}

impl Serve {
    pub(crate) fn limits(&self) -> Result<Limits> {
        let (request, buffered) = (self.request.as_u64(), self.buffered.as_u64());
        ensure!(
            request >= u64::from(BLOCK) && request <= 1 << 30,
            "--request is {BLOCK} bytes to 1 GiB, not {request}"
        );
        let least = request + protocol::RESPONSE as u64;
        ensure!(
            buffered >= least,
            "--buffered is at least {least}: a request of --request bytes needs as much"
        );
        Ok(Limits {
            connections: self.connections as usize,
            request: request as u32,
            in_flight: self.in_flight as usize,
            buffered: usize::try_from(buffered)?,
            timeout: self.timeout,
            grace: self.grace,
        })
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let time = Duration::try_from_secs_f64(text.parse()?)?;
    ensure!(time >= Duration::from_millis(10), "it is at least 0.01");
    ensure!(time <= Duration::from_secs(86_400), "it is at most a day");
    Ok(time)
}
