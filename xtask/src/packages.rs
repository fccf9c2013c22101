//! Finding programs on the machine, and installing the packages of those that are missing: with
//! apt, after printing the command.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result, bail};

use crate::{
    apt::{Apt, Mirror, Root, first_error},
    lock::Lock,
    process,
    progress::Progress,
    workspace,
};

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Install them, after printing the command.
    Yes,
    /// Fail, and say what to type.
    No,
}

/// A program, and the package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The program's name, or the absolute path of a file.
    pub(crate) program: &'static str,
    /// The package's names in different releases of Debian. The first one that apt knows is used.
    pub(crate) packages: &'static [&'static str],
}

impl Tool {
    /// The package's name in this apt's index, if it is there.
    fn known(&self, apt: &Apt) -> Option<&'static str> {
        self.packages.iter().copied().find(|name| apt.has(name))
    }
}

/// The path of a program in `PATH` or in a directory for the administrator's programs, which an
/// ordinary user's `PATH` lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Why nothing may be installed; `None` if it may.
pub(crate) fn forbidden(install: Install) -> Option<&'static str> {
    match install {
        Install::No => Some("--no-install was given"),
        Install::Yes if !is_root() => Some("only root may install packages"),
        Install::Yes => None,
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs the packages of the tools that are missing.
pub(crate) fn ensure(tools: &[Tool], install: Install, progress: &Progress) -> Result<()> {
    ensure_with(tools, &[], install, progress)
}

/// Does what [`ensure`] does, and also installs the packages `exact`, each a `NAME=VERSION`.
pub(crate) fn ensure_with(
    tools: &[Tool],
    exact: &[String],
    install: Install,
    progress: &Progress,
) -> Result<()> {
    let missing: Vec<Tool> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .copied()
        .collect();
    if missing.is_empty() && exact.is_empty() {
        return Ok(());
    }
    let names = |apt: &Apt| -> Vec<String> {
        let names: BTreeSet<_> = missing.iter().map(|tool| name(apt, tool)).collect();
        let is_exact = |name: &str| exact.iter().any(|one| one.split('=').next() == Some(name));
        let names = names.into_iter().filter(|name| !is_exact(name));
        names.chain(exact.iter().cloned()).collect()
    };
    let system = Apt::default();
    if find("apt-get").is_none() {
        let programs: Vec<_> = missing.iter().map(|tool| tool.program).collect();
        bail!(
            "this machine has no apt-get; install by other means: {}",
            programs.join(", ")
        );
    }
    if let Some(why) = forbidden(install) {
        bail!(
            "packages are missing, and {why}; type: {}",
            by_hand(&names(&system))
        );
    }
    refresh(progress);
    if let Err(error) = install_from(&system, &names, progress) {
        progress.say(format!("that failed: {}", first_line(&error)));
        install_in_parts(&missing, exact, progress)?;
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

/// The package to install for a tool.
fn name(apt: &Apt, tool: &Tool) -> String {
    tool.known(apt).unwrap_or(tool.packages[0]).to_owned()
}

/// Installs packages that one command can't install together, as when one has to come from another
/// source than the rest.
fn install_in_parts(missing: &[Tool], exact: &[String], progress: &Progress) -> Result<()> {
    let system = Apt::default();
    if !exact.is_empty() {
        install_from(&system, &|_| exact.to_vec(), progress)?;
    }
    let still_missing = || missing.iter().filter(|tool| find(tool.program).is_none());
    let together = |apt: &Apt| -> Vec<String> {
        let names: BTreeSet<_> = still_missing().map(|tool| name(apt, tool)).collect();
        names.into_iter().collect()
    };
    if still_missing().next().is_none() || install_with_backports(&together, progress).is_ok() {
        return Ok(());
    }
    for tool in still_missing() {
        let alone = |apt: &Apt| vec![name(apt, tool)];
        if let Err(error) = install_from(&system, &alone, progress) {
            // The first failure is about the user's own sources, so it comes first.
            install_with_backports(&alone, progress)
                .map_err(|second| error.context(format!("{second:#}")))?;
        }
    }
    Ok(())
}

/// What to type to install packages. It brings apt's lists up to date first, as a machine that
/// lacks packages often has old lists, or none.
pub(crate) fn by_hand(names: &[impl AsRef<str>]) -> String {
    by_hand_as(names, is_root())
}

fn by_hand_as(names: &[impl AsRef<str>], is_root: bool) -> String {
    let sudo = if is_root { "" } else { "sudo " };
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    format!(
        "{sudo}apt-get update && {sudo}apt-get install --no-install-recommends {}",
        names.join(" ")
    )
}

/// Brings the lists of the system's apt up to date, once in a run. If a list can't be downloaded,
/// prints a notice, and the old one stays in use.
pub(crate) fn refresh(progress: &Progress) {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    progress.say("bringing apt's lists up to date: apt-get update");
    let _line = progress.line("apt-get update");
    if let Err(error) = Apt::default().update() {
        progress.say(format!(
            "notice: apt couldn't bring all its lists up to date: {}",
            first_line(&error)
        ));
    }
}

/// Installs with the system's own sources.
fn install_from(apt: &Apt, names: &dyn Fn(&Apt) -> Vec<String>, progress: &Progress) -> Result<()> {
    let mut command = apt.install(&names(apt));
    progress.say(format!("installing: {}", process::shown(&command)));
    let _line = progress.line("installing packages");
    apt.run(&mut command)
}

/// Installs with the backports of the system's release as a further source. If a part of QEMU was
/// installed from backports, the other parts have to come from there too.
fn install_with_backports(names: &dyn Fn(&Apt) -> Vec<String>, progress: &Progress) -> Result<()> {
    let release = release().context("only Debian has backports")?;
    let mirror = Mirror::find(None)?;
    let backports = format!("{release}-backports");
    let dir = workspace::cache_dir()?.join("apt/system");
    let _lock = Lock::take(&dir.join("lock"), progress)?;
    progress.say(format!("trying again with {backports} as a further source"));
    let root = Root::for_system(&dir, &mirror, &[&release, &backports])?;
    root.refresh(Root::DAY, progress)?;
    let apt = root.apt();
    let mut command = apt.install(&names(apt));
    command.args(["--target-release", &backports]);
    progress.say(format!("installing: {}", process::shown(&command)));
    let _line = progress.line("installing packages");
    apt.run(&mut command).inspect_err(|error| {
        progress.say(format!("that failed: {}", first_line(error)));
    })
}

/// What apt complained about, on one line.
fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    first_error(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
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
    use super::by_hand_as;

    #[test]
    fn what_to_type_works_where_it_is_typed() {
        assert_eq!(
            by_hand_as(&["qemu-system-arm", "rustc-web"], true),
            "apt-get update && \
             apt-get install --no-install-recommends qemu-system-arm rustc-web"
        );
        assert_eq!(
            by_hand_as(&["qemu-system-arm"], false),
            "sudo apt-get update && \
             sudo apt-get install --no-install-recommends qemu-system-arm"
        );
    }
}
