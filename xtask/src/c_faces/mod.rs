//! `cargo xtask c-faces`: the C libraries, built, compared with the originals, and installed.

mod build;
mod counts;
mod existing;
mod group;
mod guests;
mod install;
mod other;
mod programs;
mod storm;
mod suites;
mod symbols;
mod types;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{interrupt, packages::Install, progress::Progress};
use build::For;

/// Builds libaio.so.1 and libaio.a from the crate aio-libaio, and checks them.
///
/// The shared library's symbols, with their versions, are compared with the list that the crate
/// promises, and with those of the original where that is installed. A C program that uses every
/// function, and gives it bad arguments, is compiled with the crate's header, linked with each
/// library and run. Exits with 1 if something differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install the libraries, the header and a file for pkg-config under this directory, after the
    /// checks.
    ///
    /// Programs find the library there with `LD_LIBRARY_PATH=PREFIX/lib`. Programs are compiled
    /// with the flags that `PKG_CONFIG_PATH=PREFIX/lib/pkgconfig pkg-config --cflags --libs libaio`
    /// prints.
    #[arg(long, value_name = "PREFIX")]
    install: Option<PathBuf>,

    /// Also run programs that exist with the shared library, and check what they read and wrote:
    /// those that are named, or all.
    ///
    /// Installs them with apt if they are missing, after printing the command.
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',')]
    programs: Option<Vec<existing::Program>>,

    /// For how long the library is stressed, in seconds, in each of the ways to use it.
    #[arg(long, value_name = "SECONDS", default_value = "2")]
    seconds: u64,

    /// Also stress it under the address sanitizer. Needs a nightly toolchain.
    #[arg(long)]
    asan: bool,

    /// Also run the C programs in guests of both main architectures, with the oldest and the newest
    /// kernel, as `cargo xtask qemu-test` boots them.
    #[arg(long)]
    guests: bool,

    /// Also build the libraries for this architecture, and compare symbols and types with those of
    /// Debian's packages for it. Can be repeated.
    ///
    /// The packages are downloaded and unpacked, not installed. A missing cross compiler is
    /// installed with apt, after printing the command.
    #[arg(long = "arch", value_name = "ARCH", value_parser = other::values())]
    archs: Vec<String>,

    /// The Debian archive to get standard libraries and packages from, instead of the one in apt's
    /// configuration.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,

    #[command(flatten)]
    suites: suites::Wanted,

    /// Install no packages: when a program is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    let libraries = build::build(For::Here, &progress)?;
    let originals = Vec::from_iter(symbols::original()?);
    let mut differences = symbols::check(&libraries.shared, &originals)?;
    differences += types::check_installed(&progress)?;
    differences += programs::run(&libraries, &progress)?;
    differences += storm::run(args.seconds, args.asan, &libraries, &progress)?;
    let install = match args.no_install {
        true => Install::No,
        false => Install::Yes,
    };
    if !args.archs.is_empty() {
        differences += other::run(&args.archs, args.mirror.as_deref(), install, &progress)?;
    }
    if args.guests {
        differences += guests::run(args.mirror.as_deref(), install, &progress)?;
    }
    differences += suites::run(&args.suites, &libraries, install, &progress)?;
    if let Some(names) = &args.programs {
        differences += existing::run(names, &libraries.shared, install, &progress)?;
    }
    if differences > 0 {
        return Ok(ExitCode::FAILURE);
    }
    if let Some(prefix) = &args.install {
        install::install(&libraries, prefix)?;
    }
    Ok(ExitCode::SUCCESS)
}
