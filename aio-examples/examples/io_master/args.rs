//! The program's arguments.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bytesize::ByteSize;
use clap::{Parser, Subcommand, value_parser};

use crate::server::limits::Limits;

/// A master for I/O: one process reads and writes files for other processes.
#[derive(Debug, Parser)]
#[command(name = "io_master")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Read(Read),
    Write(Write),
}

/// Serves reads, writes and syncs of other processes.
///
/// Prints the path of its socket. SIGTERM and SIGINT end it: it takes no more requests, finishes
/// those that it has, removes the socket, and exits with 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where to make the Unix socket. Only the server's own user can connect, unless --allow-uid
    /// names others.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,

    /// Another user who may connect, as a number. Can be given several times.
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,

    /// The queue's depth: how many operations are in flight at most, for all clients together.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        value_parser = value_parser!(u32).range(2..=65536)
    )]
    pub(crate) depth: u32,

    /// How many clients are connected at a time. Others are refused.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = value_parser!(u32).range(1..=4096)
    )]
    clients: u32,

    /// How many files a client may have registered at a time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=1024)
    )]
    files: u32,

    /// How much memory a client may share with the server. All clients together have as much for
    /// each of --clients.
    #[arg(long, value_name = "BYTES", default_value = "16MiB")]
    memory: ByteSize,

    /// The longest read or write that a client may ask for.
    #[arg(long, value_name = "BYTES", default_value = "1MiB")]
    request: ByteSize,

    /// How many operations of a client are in flight at most. The client's other requests wait in
    /// the socket.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 32,
        value_parser = value_parser!(u32).range(1..=4096)
    )]
    in_flight: u32,
}

/// Reads a file through a server, and writes to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many bytes to read. Without this, to the end of the file.
    #[arg(long, value_name = "BYTES")]
    pub(crate) length: Option<u64>,
}

/// Writes what comes on standard input to a file through a server, and syncs the file.
///
/// Makes the file if it doesn't exist. Doesn't cut it off behind what is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Write {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The server's socket.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// The file or block device. This process opens it, and passes the descriptor to the server.
    pub(crate) file: PathBuf,
    /// Where the first byte is in the file.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Opens the file with `O_DIRECT`. Then the offset has to be a multiple of the block size, and
    /// so has the number of bytes to write.
    #[arg(long)]
    pub(crate) direct: bool,
}

impl Serve {
    pub(crate) fn limits(&self) -> Result<Limits> {
        let (memory, request) = (self.memory.as_u64(), self.request.as_u64());
        ensure!(
            (1..=1 << 30).contains(&request),
            "--request is 1 byte to 1 GiB, not {request}"
        );
        ensure!(
            (1..=1 << 40).contains(&memory),
            "--memory is 1 byte to 1 TiB, not {memory}"
        );
        Ok(Limits {
            clients: self.clients as usize,
            files: self.files as usize,
            memory: usize::try_from(memory)?,
            request: request as u32,
            in_flight: self.in_flight,
        })
    }
}
