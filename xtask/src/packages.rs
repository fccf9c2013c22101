//! What is missing on the machine, and how it gets there: Debian packages, installed with apt
//! after the command has been printed.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, Mirror, Root};
use crate::{lock::Lock, process, progress::Progress, workspace};

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Install them, after printing the command.
    Yes,
    /// Only say what to type.
    No,
}

/// A program, and the package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The program's name, or the absolute path of a file.
    pub(crate) program: &'static str,
    /// The package's names in different releases of Debian: the first that there is counts.
    pub(crate) packages: &'static [&'static str],
}

impl Tool {
    /// The package's name in this apt's index, if it is there.
    fn known(&self, apt: &Apt) -> Option<&'static str> {
        self.packages.iter().copied().find(|name| apt.has(name))
    }
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
pub(crate) fn ensure(tools: &[Tool], install: Install, progress: &Progress) -> Result<()> {
    let missing: Vec<Tool> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let name = |apt: &Apt, tool: &Tool| tool.known(apt).unwrap_or(tool.packages[0]);
    let names = |apt: &Apt| -> Vec<&str> {
        let names: BTreeSet<_> = missing.iter().map(|tool| name(apt, tool)).collect();
        names.into_iter().collect()
    };
    let system = Apt::default();
    if find("apt-get").is_none() {
        let programs: Vec<_> = missing.iter().map(|tool| tool.program).collect();
        bail!(
            "this machine has no apt-get; install by other means: {}",
            programs.join(", ")
        );
    }
    let is_root = rustix::process::geteuid().is_root();
    let by_hand = || {
        let indexed = missing.iter().all(|tool| tool.known(&system).is_some());
        by_hand(&names(&system), indexed, is_root)
    };
    if install == Install::No {
        bail!(
            "packages are missing, and --no-install was given; type: {}",
            by_hand()
        );
    }
    if !is_root {
        bail!(
            "packages are missing, and only root may install them; type: {}",
            by_hand()
        );
    }
    // All at once; where that can't be, one by one: one package that has to come from another source
    // than the rest keeps all of them from being installed.
    if install_from(&system, &names, progress).is_err() {
        for tool in missing.iter().filter(|tool| find(tool.program).is_none()) {
            let names = |apt: &Apt| vec![name(apt, tool)];
            install_from(&system, &names, progress)
                .or_else(|first| install_with_backports(&names, first, progress))?;
        }
    }
    for tool in missing {
        if find(tool.program).is_none() {
            bail!(
                "{} is installed, but there is no `{}`",
                tool.packages.join("/"),
                tool.program
            );
        }
    }
    Ok(())
}

/// What to type to install packages. Machines that are made from an image often have no index yet.
fn by_hand(names: &[&str], indexed: bool, is_root: bool) -> String {
    let sudo = if is_root { "" } else { "sudo " };
    let install = format!(
        "{sudo}apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if indexed {
        install
    } else {
        format!("{sudo}apt-get update && {install}")
    }
}

/// Installs with the system's own sources.
fn install_from<'a>(
    apt: &Apt,
    names: &dyn Fn(&Apt) -> Vec<&'a str>,
    progress: &Progress,
) -> Result<()> {
    let attempt = || {
        let mut command = apt.install(&names(apt));
        progress.say(format!("installing: {}", process::shown(&command)));
        let _line = progress.line("installing packages");
        apt.run(&mut command)
    };
    let Err(error) = attempt() else { return Ok(()) };
    // An index that is missing or out of date is the common cause.
    let stale = [
        "Unable to locate",
        "no installation candidate",
        "Unable to fetch",
        "Failed to fetch",
    ];
    let text = format!("{error:#}");
    if !stale.iter().any(|words| text.contains(words)) {
        return Err(error);
    }
    progress.say("apt's index seems to be out of date: apt-get update");
    apt.update().context("can't bring apt's index up to date")?;
    attempt()
}

/// Installs with the backports of the system's release beside its own packages: where a part of
/// QEMU is already there from backports, only the rest from backports goes with it.
fn install_with_backports<'a>(
    names: &dyn Fn(&Apt) -> Vec<&'a str>,
    first: anyhow::Error,
    progress: &Progress,
) -> Result<()> {
    let Some((mirror, release)) = Mirror::find(None).ok().zip(release()) else {
        return Err(first);
    };
    let backports = format!("{release}-backports");
    let dir = workspace::cache_dir()?.join("apt/system");
    let _lock = Lock::take(&dir.join("lock"), progress)?;
    progress.say(format!(
        "that failed too; trying again with {backports} as a further source"
    ));
    let root = Root::for_system(&dir, &mirror, &[&release, &backports])?;
    root.refresh(progress)?;
    let apt = root.apt();
    let mut command = apt.install(&names(apt));
    command.args(["--target-release", &backports]);
    progress.say(format!("installing: {}", process::shown(&command)));
    let _line = progress.line("installing packages");
    // The first failure is the one that the user can do something about.
    apt.run(&mut command)
        .map_err(|second| first.context(format!("{second:#}")))
}

/// The code name of the Debian release that runs here.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let debian = field("ID") == Some("debian");
    debian.then(|| field("VERSION_CODENAME").map(|name| name.trim_matches('"').to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::by_hand;

    #[test]
    fn what_to_type_works_where_it_is_typed() {
        assert_eq!(
            by_hand(&["qemu-system-arm", "rustc-web"], true, true),
            "apt-get install --no-install-recommends qemu-system-arm rustc-web"
        );
        assert_eq!(
            by_hand(&["qemu-system-arm"], false, false),
            "sudo apt-get update && \
             sudo apt-get install --no-install-recommends qemu-system-arm"
        );
    }
}
