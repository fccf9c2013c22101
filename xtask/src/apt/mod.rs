//! Debian's package manager, used in two ways. On the system itself it installs missing packages.
//! On private roots, which have sources of their own, it gets kernels and libraries of any suite
//! and architecture. A private root changes nothing on the system, and apt checks its signatures.

mod root;
mod sources;

use std::{process::Command, time::Duration};

use anyhow::Result;

pub(crate) use root::{Root, first_error};
pub(crate) use sources::Mirror;

use crate::process;

/// How long apt may take to bring an index up to date.
const UPDATE: Duration = Duration::from_secs(600);
/// How long apt may take to download or install packages.
const FETCH: Duration = Duration::from_secs(1800);
/// How long apt may take to answer from its index.
const LOOK_UP: Duration = Duration::from_secs(120);

/// apt with a set of options. Without options it is the system's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// One of apt's programs, with these options and messages in English.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(&self.options)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Brings the index up to date. It is an error if a part of it can't be downloaded.
    pub(crate) fn update(&self) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["update", "-qq", "-o", "APT::Update::Error-Mode=any"]);
        process::output(&mut command, UPDATE).map(drop)
    }

    /// Whether a package of that name can be installed.
    pub(crate) fn has(&self, name: &str) -> bool {
        // A name that only other packages' dependencies mention has no candidate.
        let mut command = self.command("apt-cache");
        command.args(["policy", name]);
        process::output(&mut command, LOOK_UP)
            .is_ok_and(|text| text.contains("Candidate: ") && !text.contains("Candidate: (none)"))
    }

    /// The control data of all versions of these packages, in the archive's format.
    pub(crate) fn show(&self, names: &[String]) -> Result<Vec<Stanza>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command("apt-cache");
        command.arg("show").args(names);
        let text = process::output(&mut command, LOOK_UP)?;
        Ok(text
            .split("\n\n")
            .filter(|stanza| !stanza.trim().is_empty())
            .map(Stanza::new)
            .collect())
    }

    /// The names of the packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        command.args(["pkgnames", prefix]);
        Ok(process::output(&mut command, LOOK_UP)?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// The command that installs packages without asking, and never removes any.
    pub(crate) fn install(&self, names: &[String]) -> Command {
        let mut command = self.command("apt-get");
        command.args([
            "install",
            "--yes",
            "-qq",
            "--no-install-recommends",
            // Another run may be installing something.
            "-o",
            "DPkg::Lock::Timeout=300",
            "--no-remove",
        ]);
        command.args(names);
        command
    }

    /// Runs what [`Apt::install`] made.
    pub(crate) fn run(&self, install: &mut Command) -> Result<()> {
        process::output(install, FETCH).map(drop)
    }
}

/// One package of one version, as the archive describes it.
#[derive(Debug)]
pub(crate) struct Stanza(String);

impl Stanza {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The value of a field on one line. Empty if the field is missing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map_or("", str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::Stanza;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let stanza = Stanza::new("Package: linux\nVersion: 1\nPackage-Type: deb\nDepends: a, b\n");
        assert_eq!(stanza.field("Package"), "linux");
        assert_eq!(stanza.field("Depends"), "a, b");
        assert_eq!(stanza.field("Dep"), "");
    }
}
