//! The tests of aio-safe, with queues that aren't on the real kernel.

use std::{fmt, time::Duration};

use anyhow::Result;

use crate::{process, workspace};

/// A kernel of aio-safe's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kernel {
    /// Worker threads (`kernel::Threads`).
    Threads,
    /// The real kernel, the page cache and worker threads (`kernel::Hybrid`).
    Hybrid,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "threads",
            Self::Hybrid => "hybrid",
        })
    }
}

impl Kernel {
    /// What `#[cfg(aio_kernel)]` says in aio-safe: its queues are on this kernel unless a test
    /// chooses another one.
    fn flag(self) -> String {
        format!("--cfg aio_kernel=\"{self}\"")
    }
}

/// Runs the tests. They are built in a directory of their own, as cargo builds everything again for
/// other flags.
pub(super) fn run(kernel: Kernel, limit: Duration) -> Result<()> {
    println!("queues on: {kernel}");
    process::run(
        workspace::cargo()
            .args(["test", "--package", "aio-safe", "--all-features", "--tests"])
            .arg("--target-dir")
            .arg(workspace::target_dir().join("queues-on"))
            .env("RUSTFLAGS", kernel.flag()),
        limit,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_those_that_aio_safe_knows() {
        let manifest = std::fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains(r#"cfg(aio_kernel, values("hybrid", "threads"))"#));
        assert_eq!(Kernel::Threads.flag(), r#"--cfg aio_kernel="threads""#);
        assert_eq!(Kernel::Hybrid.flag(), r#"--cfg aio_kernel="hybrid""#);
    }
}
