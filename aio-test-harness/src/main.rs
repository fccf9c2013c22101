//! `aio-conformance`: runs the conformance cases on this machine, or is the init of a guest.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use aio_test_harness::{
    attack,
    case::Case,
    cases,
    env::{Env, Targets},
    filter::Filter,
    guest,
    on::On,
    progress,
    runner::{self, Runner},
    saturate, stress,
    tally::Tally,
};
use clap::{Parser, Subcommand};

/// Runs conformance cases for Linux native AIO.
///
/// Exit status: 0 when no case failed, 1 when one failed, 2 on wrong use. A skipped case is no
/// failure. It says what it needs.
#[derive(Parser)]
#[command(
    name = "aio-conformance",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    mode: Option<Mode>,

    /// At most one directory, one block device with 512-byte and one with 4096-byte logical blocks.
    ///
    /// A BLOCK DEVICE IS OVERWRITTEN. One that is in use is refused. In a directory, the cases make
    /// a directory of their own, which is removed at the end. Without targets, the directory for
    /// temporary files is used.
    #[arg(value_name = "TARGET")]
    targets: Vec<PathBuf>,

    /// Run only the cases whose name contains this text.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    case: String,

    /// List the cases with name, requirements and summary, and run none. Says which cases aren't
    /// run on a kernel of aio-safe, and why, and how many are run on each kernel.
    #[arg(long)]
    list: bool,

    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,

    /// The time limit of each case, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    timeout: u64,

    /// Also run the cases that use up or change the system-wide limit (/proc/sys/fs/aio-max-nr).
    /// They need root, and nothing else on this machine may use native AIO.
    #[arg(long)]
    alone: bool,

    /// Run one case in this process, on exactly these targets, under a debugger or strace.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["case", "list", "json", "timeout"])]
    run_case: Option<String>,
}

/// The subcommands.
#[derive(Subcommand)]
enum Mode {
    Stress(stress::cli::Args),
    Attack(attack::cli::Args),
    Saturate(saturate::Args),
}

fn main() -> ExitCode {
    if guest::is_init() {
        guest::main();
    }
    let cli = Cli::parse();
    let result = match (&cli.mode, &cli.run_case) {
        (Some(Mode::Stress(args)), _) => stress::cli::main(args),
        (Some(Mode::Attack(args)), _) => attack::cli::main(args),
        (Some(Mode::Saturate(args)), _) => saturate::main(args),
        (None, Some(name)) => run_one(name, &cli),
        (None, None) if cli.list => list(&cli).map(|()| ExitCode::SUCCESS),
        (None, None) => run(&cli),
    };
    match result {
        Ok(code) => code,
        // The reader of the output is gone, so nobody can be told.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(error) => {
            eprintln!("aio-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

/// The cases that the filter picks.
fn picked(cli: &Cli) -> io::Result<Vec<Case>> {
    let picked = Filter::new(&cli.case).pick(cases::all());
    if picked.is_empty() {
        let text = format!("no case has \"{}\" in its name; --list shows all", cli.case);
        return Err(io::Error::other(text));
    }
    Ok(picked)
}

fn list(cli: &Cli) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let picked = picked(cli)?;
    for case in &picked {
        let requires: Vec<String> = case.requires.iter().map(ToString::to_string).collect();
        let requires = if requires.is_empty() {
            String::new()
        } else {
            format!(" [{}]", requires.join(", "))
        };
        writeln!(out, "{case}{requires}\n    {}", case.summary)?;
        if case.on == On::Native {
            for (on, why) in cases::differences(case.name) {
                writeln!(out, "    not on {on}: {why}")?;
            }
        }
    }
    write!(out, "\n{}", Tally::of(&picked))
}

fn run(cli: &Cli) -> io::Result<ExitCode> {
    let cases = picked(cli)?;
    let mut targets = Targets::classify(&cli.targets)?;
    if cli.targets.is_empty() {
        targets.directory = Some(std::env::temp_dir());
    }
    // A case that is killed leaves its files behind, so all files are made in here.
    let scratch = match &targets.directory {
        Some(directory) => Some(
            tempfile::Builder::new()
                .prefix("aio-conformance-")
                .tempdir_in(directory)?,
        ),
        None => None,
    };
    targets.directory = scratch.as_ref().map(|dir| dir.path().to_owned());
    let runner = Runner {
        program: std::env::current_exe()?,
        env: Env {
            targets,
            alone: cli.alone,
            ..Env::default()
        },
        timeout: Duration::from_secs(cli.timeout),
    };
    let mut out = io::stdout().lock();
    let totals = runner.run(&cases, |line| {
        if cli.json {
            writeln!(out, "{line}")?;
            out.flush()
        } else {
            progress::show(&mut out, line)
        }
    })?;
    Ok(if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_one(name: &str, cli: &Cli) -> io::Result<ExitCode> {
    let case = cases::by_name(name).ok_or_else(|| {
        io::Error::other(format!("no case is named \"{name}\"; --list shows all"))
    })?;
    let env = Env {
        targets: Targets::classify(&cli.targets)?,
        alone: cli.alone,
        ..Env::default()
    };
    Ok(runner::run_one(&case, &env))
}
