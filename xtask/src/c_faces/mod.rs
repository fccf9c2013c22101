//! `cargo xtask c-faces`: the C libraries, built, compared with the originals, and installed.

mod build;
mod existing;
mod install;
mod programs;
mod symbols;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{interrupt, packages::Install, progress::Progress};

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

    /// Also run fio and qemu-img with the shared library, and check what they read and wrote.
    /// Installs them with apt if they are missing, after printing the command.
    #[arg(long)]
    programs: bool,

    /// Install no packages: when a program is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    let libraries = build::build(&progress)?;
    let mut differences = symbols::check(&libraries.shared)?;
    differences += programs::run(&libraries, &progress)?;
    if args.programs {
        let install = match args.no_install {
            true => Install::No,
            false => Install::Yes,
        };
        differences += existing::run(&libraries.shared, install, &progress)?;
    }
    if differences > 0 {
        return Ok(ExitCode::FAILURE);
    }
    if let Some(prefix) = &args.install {
        install::install(&libraries, prefix)?;
    }
    Ok(ExitCode::SUCCESS)
}
