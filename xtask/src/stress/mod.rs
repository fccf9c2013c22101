//! `cargo xtask stress`: aio-safe under heavy load, with the contents of every block checked.

mod guests;

use std::{
    num::NonZero,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{interrupt, process, qemu_test::Guests, workspace};

/// How long building may take.
const BUILD: Duration = Duration::from_secs(1800);

/// How much longer than its seconds a run may take: it writes the first contents, checks the last,
/// and notices a hang.
const MORE: Duration = Duration::from_secs(180);

/// What can carry out operations: the words of the harness.
pub(crate) const ON: [&str; 3] = ["native", "threads", "hybrid"];

/// Stresses aio-safe: threads share queues, and the contents of every block are checked.
///
/// The threads read, write, sync and poll, in batches and one by one; they drop, cancel, close and
/// fork, and provoke refusals. Each thread plans its operations from the seed: the same seed,
/// number of threads and commit give the same plan. Exits with 1 when something went wrong or a
/// thread made no progress, after printing what each thread was doing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long to run, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    seconds: u64,

    /// The number that the plans are derived from [default: a random one, which is printed].
    #[arg(long)]
    seed: Option<u64>,

    /// How many threads submit operations [default: four].
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// What carries out the operations: the real kernel, worker threads, or both together (see
    /// `Threads` and `Hybrid` in aio-safe's `kernel`).
    #[arg(long, value_name = "KERNEL", default_value = "native", value_parser = ON)]
    on: String,

    /// A file or a block device, WHICH IS OVERWRITTEN, or a directory for a temporary file. Can be
    /// repeated [default: the build directory].
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Run it in guests instead, on their disks: one guest for each kernel of each architecture, as
    /// with `cargo xtask qemu-test`.
    #[arg(long, conflicts_with_all = ["paths", "saturation"])]
    guests: bool,

    /// Measure what a full queue costs instead: in one guest for each architecture, 50 threads do
    /// 2000 operations through a queue of depth 8, on a disk that is limited to 200 a second. Fails
    /// when that takes 5 % of a processor, or when a thread starves.
    #[arg(long, conflicts_with_all = ["paths", "seconds", "seed", "threads", "on"])]
    saturation: bool,

    #[command(flatten, next_help_heading = "With --guests and --saturation")]
    machines: Guests,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.saturation {
        return guests::saturation(args);
    }
    if args.guests {
        return guests::stress(args);
    }
    if args.machines.were_named() {
        bail!("--arch and --kernel are for guests: add --guests or --saturation");
    }
    on_this_machine(args)
}

fn on_this_machine(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let program = build()?;
    let mut command = Command::new(program);
    command.arg("stress").args(args.words());
    if args.paths.is_empty() {
        // Not in the system's directory for temporary files, which may be in memory and without
        // O_DIRECT.
        command.arg(workspace::target_dir());
    } else {
        command.args(&args.paths);
    }
    let limit = Duration::from_secs(args.seconds) + MORE;
    let status = process::status(&mut command, limit)?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(1) => Ok(ExitCode::FAILURE),
        _ => bail!("`{}` ended with {status}", process::shown(&command)),
    }
}

impl Args {
    /// The program's arguments, on this machine and in guests.
    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--seconds={}", self.seconds),
            format!("--on={}", self.on),
        ];
        words.extend(self.seed.map(|seed| format!("--seed={seed}")));
        words.extend(self.threads.map(|threads| format!("--threads={threads}")));
        words
    }
}

/// Builds the program for this machine: with the options of a release, and with assertions.
pub(crate) fn build() -> Result<PathBuf> {
    // Not the workspace's own directory: a cargo that started us may have locked it.
    let target_dir = workspace::target_dir().join("stress");
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--release", "--package", "aio-test-harness"])
        .args(["--bin", "aio-conformance"])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    process::run(&mut cargo, BUILD).context("can't build the program")?;
    Ok(target_dir.join("release").join("aio-conformance"))
}
