//! `cargo xtask attack`: random calls on every handle of aio-safe, from safe code.

use std::{
    collections::BTreeMap,
    env,
    num::NonZero,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    asan, interrupt, process,
    qemu_test::{self, Guests, Work},
    stress::{self, ON},
    workspace,
};

/// How long building may take.
const BUILD: Duration = Duration::from_secs(1800);

/// What a run may take beyond what it is told: booting, building up, noticing a hang.
const MORE: Duration = Duration::from_secs(180);

/// How many actions a second there are at least, on the slowest emulated machine.
const SLOWEST: u64 = 100;

/// Attacks aio-safe from safe code: random calls on every kind of handle from several threads, with
/// wakers and destructors that call back, panic and fork.
///
/// It runs on this machine in release mode, or with --arch or --kernel in guests. It ends with the
/// first round in which something is wrong, and says how to do that round again. Exits with 1 then,
/// and when a thread doesn't get on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many actions there are at least [default: as many as 10 seconds take].
    #[arg(long, value_name = "N")]
    actions: Option<u64>,

    /// How long it takes at least, in seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// How many rounds there are at most.
    #[arg(long, value_name = "N")]
    rounds: Option<NonZero<u64>>,

    /// The first round's seed [default: a random number, which is printed].
    #[arg(long)]
    seed: Option<u64>,

    /// How many threads each round has [default: three].
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// What carries out the operations: the real kernel, worker threads, or both together (see
    /// `Threads` and `Hybrid` in aio-safe's `kernel`).
    #[arg(long, value_name = "KERNEL", default_value = "native", value_parser = ON)]
    on: String,

    /// Build it with the address sanitizer; see `cargo xtask asan`.
    #[arg(long)]
    asan: bool,

    #[command(flatten, next_help_heading = "In guests")]
    machines: Guests,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.machines.were_named() {
        if args.asan {
            bail!("--asan is for this machine, --arch and --kernel are for guests");
        }
        return in_guests(args);
    }
    interrupt::catch()?;
    let program = if args.asan {
        match build_with_asan()? {
            Some(program) => program,
            None => return Ok(ExitCode::SUCCESS),
        }
    } else {
        stress::build()?
    };
    let mut command = Command::new(program);
    // Not in the system's directory for temporary files, which may be in memory and without
    // O_DIRECT.
    command
        .arg("attack")
        .args(args.words())
        .arg(workspace::target_dir());
    if args.asan && env::var_os("ASAN_OPTIONS").is_none() {
        command.env("ASAN_OPTIONS", asan::OPTIONS);
    }
    let status = process::status(&mut command, args.limit())?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(1) => Ok(ExitCode::FAILURE),
        _ => bail!("`{}` ended with {status}", process::shown(&command)),
    }
}

fn in_guests(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let mut words = vec!["attack".to_owned()];
    words.extend(args.words());
    // Emulated processors stand still while others run.
    words.extend(["--patience=60", "dir:ext4"].map(str::to_owned));
    let work = Work {
        words: vec![format!("aio.run={}", words.join(","))],
        limit: args.limit(),
        slow_iops: None,
        timed: false,
        native: None,
        examples: false,
        programs: BTreeMap::new(),
    };
    let report = qemu_test::boot(&args.machines, &args.machines.kernels, &work)?;
    print!("{}{}", report.printed(), report.text());
    report.exit_code()
}

/// Builds the program with the address sanitizer, if there is a toolchain that has it.
fn build_with_asan() -> Result<Option<PathBuf>> {
    let Some((toolchain, target)) = asan::toolchain()? else {
        return Ok(None);
    };
    let target_dir = workspace::target_dir().join("asan");
    let mut cargo = asan::on(&toolchain, "cargo");
    cargo
        .args(["build", "--release", "--package", "aio-test-harness"])
        .args(["--bin", "aio-conformance", "--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTFLAGS", asan::FLAGS)
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    process::run(&mut cargo, BUILD).context("can't build the program")?;
    let program = target_dir.join(&target).join("release/aio-conformance");
    Ok(Some(program))
}

impl Args {
    /// What the program is told in any place.
    fn words(&self) -> Vec<String> {
        let mut words = vec![format!("--on={}", self.on)];
        words.extend(self.actions.map(|actions| format!("--actions={actions}")));
        words.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        words.extend(self.rounds.map(|rounds| format!("--rounds={rounds}")));
        words.extend(self.seed.map(|seed| format!("--seed={seed}")));
        words.extend(self.threads.map(|threads| format!("--threads={threads}")));
        words
    }

    /// How long it may take.
    fn limit(&self) -> Duration {
        let actions = self.actions.unwrap_or(0) / SLOWEST;
        MORE + Duration::from_secs(self.seconds.unwrap_or(0).saturating_add(actions))
    }
}
