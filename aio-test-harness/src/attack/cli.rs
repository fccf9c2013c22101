//! `aio-conformance attack`.

use std::{
    io::{self, Write},
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use super::{Config, run};
use crate::on::On;

/// Attacks aio-safe from safe code: random calls on every kind of handle from several threads, with
/// wakers and destructors that call back, panic and fork.
///
/// Exit status: 0 when nothing was wrong, 1 when something was, 2 on wrong use; when a thread
/// doesn't get on, the program aborts. A round depends on its seed as far as threads allow: `--seed
/// N --rounds 1` repeats one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the file is made that is read and written. Without one, the directory for temporary
    /// files.
    directory: Option<PathBuf>,

    /// How many actions there are at least [default: as many as 10 seconds take].
    #[arg(long, value_name = "N")]
    actions: Option<u64>,

    /// How long it takes at least, in seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// How many rounds there are at most.
    #[arg(long, value_name = "N")]
    rounds: Option<NonZero<u64>>,

    /// The first round's seed [default: one that is printed].
    #[arg(long)]
    seed: Option<u64>,

    /// How many threads each round has [default: three].
    #[arg(long, value_name = "N", default_value = "3", hide_default_value = true)]
    threads: NonZero<usize>,

    /// What carries out the operations of the queues [default: the real kernel].
    #[arg(
        long,
        value_enum,
        value_name = "KERNEL",
        default_value_t,
        hide_default_value = true
    )]
    on: On,

    /// How long a thread may not get on, in seconds, before that counts as a hang.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    patience: NonZero<u64>,
}

/// Runs it and prints what it comes to.
///
/// # Errors
///
/// As [`run`], or of writing to standard output.
pub fn main(args: &Args) -> io::Result<ExitCode> {
    let seconds = match (args.actions, args.seconds) {
        (None, None) => Some(10),
        (_, seconds) => seconds,
    };
    let config = Config {
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..) >> 16),
        threads: args.threads.get(),
        on: args.on,
        rounds: args.rounds.map(NonZero::get),
        actions: args.actions,
        time: seconds.map(Duration::from_secs),
        patience: Duration::from_secs(args.patience.get()),
        directory: args.directory.clone().unwrap_or_else(std::env::temp_dir),
    };
    writeln!(
        io::stdout(),
        "seed {}, {} threads, on {}",
        config.seed,
        config.threads,
        config.on
    )?;
    let report = run(&config, |line| {
        // The reader of the output may be gone. The run goes on.
        let mut out = io::stdout();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    })?;
    writeln!(io::stdout(), "{report}")?;
    Ok(if report.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
