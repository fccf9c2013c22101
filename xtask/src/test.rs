//! `cargo xtask test`: everything that can be tested on the host.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::{process, workspace};

/// Runs all tests of the workspace on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds that the workspace's tests may take, building included.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let limit = Duration::from_secs(args.timeout);
    process::run(workspace::cargo().args(["test", "--workspace"]), limit)?;
    Ok(ExitCode::SUCCESS)
}
