//! What is missing on the machine, and how it gets there: Debian packages, installed with apt
//! after the command has been printed.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Install them, after printing the command.
    Yes,
    /// Only say what to type.
    No,
}

/// A package, and a program whose presence means that it is installed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// The path of a program in `PATH`; the directories for the administrator's programs are looked
/// into as well, as an ordinary user's `PATH` lacks them.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Installs the packages of the tools that aren't there. Nothing happens when all are.
pub(crate) fn ensure(tools: &[Tool], install: Install) -> Result<()> {
    let missing: BTreeSet<&str> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install_packages(&missing.into_iter().collect::<Vec<_>>(), install)?;
    for tool in tools {
        if find(tool.program).is_none() {
            bail!(
                "{} is installed, but `{}` still isn't there",
                tool.package,
                tool.program
            );
        }
    }
    Ok(())
}

/// Installs packages by name, whether or not they are there.
pub(crate) fn install_packages(names: &[&str], install: Install) -> Result<()> {
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if find("apt-get").is_none() {
        bail!(
            "missing: {}; this machine has no apt-get, install them by other means",
            names.join(" ")
        );
    }
    if install == Install::No {
        bail!("missing packages and --no-install was given; type: {by_hand}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing packages and only root may install them; type: sudo {by_hand}");
    }
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Never at the cost of a package that the user has.
        .args([
            "install",
            "--yes",
            "-qq",
            "--no-install-recommends",
            "--no-remove",
        ])
        .args(names);
    eprintln!("installing: {}", process::shown(&command));
    let limit = Duration::from_secs(900);
    if process::output(&mut command, limit).is_ok() {
        return Ok(());
    }
    // An index that is missing or out of date is the common cause.
    let mut update = Command::new("apt-get");
    update.args(["update", "-qq"]);
    eprintln!(
        "that failed; trying again after: {}",
        process::shown(&update)
    );
    process::output(&mut update, limit).context("can't bring apt's index up to date")?;
    process::output(&mut command, limit).map(drop)
}
