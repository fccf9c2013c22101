//! The subcommand `aio-conformance stress`.

use std::{
    io::{self, Write},
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use super::{Config, run};
use crate::on::On;

/// Stresses aio-safe with threads that share queues, and checks every block's contents.
///
/// Exit status: 0 when nothing was wrong, 1 when something was, 2 on wrong use. With the same seed
/// and number of threads, each thread plans the same operations. Their timing depends on the
/// system.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and block devices, WHICH ARE OVERWRITTEN, or directories, in which a temporary file is
    /// made. The default is the directory for temporary files.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The time of the run, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    seconds: u64,

    /// The seed of the plans [default: a random one, which is printed].
    #[arg(long)]
    seed: Option<u64>,

    /// The number of threads that submit [default: 4].
    #[arg(long, value_name = "N", default_value = "4", hide_default_value = true)]
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

    /// The time without progress after which a thread counts as hanging, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    patience: u64,
}

/// Runs the stress and prints its report.
///
/// # Errors
///
/// Those of [`run`], and of writing to standard output.
pub fn main(args: &Args) -> io::Result<ExitCode> {
    let config = Config {
        time: Duration::from_secs(args.seconds),
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
        threads: args.threads.get(),
        on: args.on,
        paths: if args.paths.is_empty() {
            vec![std::env::temp_dir()]
        } else {
            args.paths.clone()
        },
        patience: Duration::from_secs(args.patience),
    };
    let mut out = io::stdout();
    writeln!(
        out,
        "seed {}, {} threads, on {}",
        config.seed, config.threads, config.on
    )?;
    let report = run(&config, |line| {
        // The reader may be gone. The run goes on.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    })?;
    writeln!(out, "{report}")?;
    Ok(if report.errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
