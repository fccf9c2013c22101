//! `cargo xtask test`: everything that this machine's own kernel can test.

mod loop_device;
mod queues_on;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{interrupt, process, workspace};
use loop_device::LoopDevice;

/// Runs all tests of the workspace on this machine, then the conformance program on its kernel.
///
/// The conformance program works in a temporary directory inside the build directory. Root also
/// gets two temporary loop devices, with logical blocks of 512 and 4096 bytes. Only the Rust
/// toolchain is needed. Tests that can't run here are skipped, and the reason is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The time limit in seconds, once for the workspace's tests, building included, and once for
    /// the conformance program.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1800",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    timeout: u64,
    /// Instead of all this, run the tests of aio-safe with queues on another kernel than the real
    /// one. Tests of what differs on purpose are ignored, with the reason.
    #[arg(long, value_name = "KERNEL")]
    queues_on: Vec<queues_on::Kernel>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let limit = Duration::from_secs(args.timeout);
    if !args.queues_on.is_empty() {
        for kernel in &args.queues_on {
            queues_on::run(*kernel, limit)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    process::run(
        workspace::cargo().args(["test", "--workspace", "--all-features"]),
        limit,
    )?;

    // Not in the system's directory for temporary files, which may be in memory and without
    // O_DIRECT.
    let parent = workspace::target_dir();
    fs::create_dir_all(&parent).with_context(|| format!("can't make {}", parent.display()))?;
    let dir = tempfile::Builder::new()
        .prefix("conformance-")
        .tempdir_in(&parent)?;
    let work = dir.path().join("files");
    fs::create_dir(&work)?;
    let devices = loop_devices(dir.path())?;
    let mut conformance = workspace::cargo();
    conformance
        .args([
            "run",
            "--quiet",
            "--package",
            "aio-test-harness",
            "--bin",
            "aio-conformance",
            "--",
        ])
        .arg(&work)
        .args(devices.iter().map(LoopDevice::path));
    process::run(&mut conformance, limit)?;
    Ok(ExitCode::SUCCESS)
}

/// Loop devices with logical blocks of 512 and 4096 bytes: those that this machine can have.
fn loop_devices(dir: &Path) -> Result<Vec<LoopDevice>> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loop devices, as only root can set them up");
        return Ok(Vec::new());
    }
    let mut devices = Vec::new();
    for block in [512, 4096] {
        let file: PathBuf = dir.join(format!("disk{block}"));
        match LoopDevice::new(&file, block)? {
            Ok(device) => devices.push(device),
            Err(why) => eprintln!("skipped: a loop device with {block}-byte blocks: {why:#}"),
        }
    }
    Ok(devices)
}
