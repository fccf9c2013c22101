//! The program's arguments.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::store::format::{KEY_MAX, VALUE_MAX};

/// A log-structured key-value store on tokio, whose disk I/O is native AIO.
///
/// `serve` opens a store and serves it on the Unix socket DIR/socket. `put`, `get`, `delete`,
/// `list` and `compact` are its clients. `check` reads a store that isn't being served.
#[derive(Debug, Parser)]
#[command(name = "tokio_kv", after_help = after_help())]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Opens the store, and serves it until Ctrl-C or SIGTERM.
    ///
    /// It makes the directory if there is none. If the last run was killed, it recovers what was
    /// acknowledged, and says on standard error what it cut off. When it is ready, it prints one
    /// line.
    Serve {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Sets a key to a value. The value is on the disk when the command ends.
    Put {
        /// The store's directory.
        dir: PathBuf,
        /// The key.
        key: OsString,
        /// The value.
        value: OsString,
    },
    /// Prints a key's value. Exits with 1 if there is no such key.
    Get {
        /// The store's directory.
        dir: PathBuf,
        /// The key.
        key: OsString,
    },
    /// Deletes a key. Exits with 1 if there was no such key.
    Delete {
        /// The store's directory.
        dir: PathBuf,
        /// The key.
        key: OsString,
    },
    /// Prints all keys, in the order of their bytes, one in each line.
    ///
    /// Bytes that aren't printable ASCII are printed as escapes: \n, \\, \xff.
    List {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Frees the space of values that were replaced or deleted. Clients can go on meanwhile.
    Compact {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Reads the whole store, and verifies each checksum. It changes nothing.
    ///
    /// It exits with 1 if something is damaged. A commit that a kill cut short is no damage.
    Check {
        /// The store's directory.
        dir: PathBuf,
    },
}

fn after_help() -> &'static str {
    const {
        assert!(
            KEY_MAX == 1024 && VALUE_MAX == 1 << 20,
            "the help names both"
        );
    };
    "Keys have 1 to 1024 bytes, values up to 1 MiB.\n\n\
     Example: tokio_kv serve /var/tmp/kv, and in another terminal: tokio_kv put /var/tmp/kv name \
     Ada"
}
