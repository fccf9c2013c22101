//! The program's arguments.

use std::path::PathBuf;

use clap::{Parser, value_parser};
use parse_size::Config;

/// Copies a file with many reads and writes in flight.
///
/// SOURCE is a regular file. TARGET is the name of the copy, not a directory. A file that has this
/// name stays as it is until the copy is complete and on the disk. Then the copy replaces it in one
/// step. If TARGET is a symbolic link, the file that it leads to is replaced.
///
/// Reads and writes bypass the page cache, by direct I/O, where the file systems allow that.
/// Holes stay holes. SOURCE must not change meanwhile.
#[derive(Debug, Parser)]
#[command(name = "copy", after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The file to copy.
    pub(crate) source: PathBuf,

    /// The name of the copy.
    pub(crate) target: PathBuf,

    /// How many reads and writes are in flight at a time. Each has a buffer of its own.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=1024)
    )]
    pub(crate) depth: u32,

    /// The size of a read or write in bytes, or with one of the letters K, M and G for KiB, MiB and
    /// GiB. It is rounded up to what direct I/O needs.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = block)]
    pub(crate) block: usize,
}

const AFTER_HELP: &str = "\
What is kept: the contents, the mode, the access control list, the times of the last access and of
the last change, the extended attributes of users (user.*). Owner and group are kept as far as the
process may set them. Without them, the mode's set-user-ID and set-group-ID bits aren't kept either.
A note on standard error says what of these wasn't kept.

What isn't kept: the time of creation, the file's attributes (chattr), other extended attributes
(security.*, trusted.*), and hard links: other names of an old TARGET keep the old contents.

If the copy ends early: an error, Ctrl-C (SIGINT), SIGTERM and SIGHUP leave nothing behind, and an
old TARGET as it was. The same holds for SIGKILL and power failures, with two exceptions. On a file
system without O_TMPFILE (NFS or FAT, for example) they leave an incomplete file named .copy-* in
TARGET's directory. Elsewhere they may leave a complete file of such a name, if they come between
the two system calls that replace an old TARGET.

Example: cargo run --release --example copy -- --depth 32 --block 512K disk.img copy.img";

/// The largest block. Linux transfers at most 2 GiB less a page at once.
const MAX_BLOCK: u64 = 1 << 30;

fn block(text: &str) -> Result<usize, String> {
    let size = Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| error.to_string())?;
    match size {
        1..=MAX_BLOCK => usize::try_from(size).map_err(|error| error.to_string()),
        _ => Err("a block has from 1 byte to 1 GiB".into()),
    }
}
