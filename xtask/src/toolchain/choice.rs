//! Which of Debian's compilers to use. Its upstream version has to be that of a standard library,
//! which the archive has to have for each wanted architecture. This module doesn't call apt: what
//! the indexes say is its input.

use anyhow::{Result, bail};
use deb_version::compare_versions;

/// The oldest compiler that builds this workspace.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A package of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// What is installed, and what the indexes have.
#[derive(Debug)]
pub(super) struct Facts {
    /// The package that the installed compiler is in.
    pub(super) installed: Option<Package>,
    /// The compilers that the system's apt can install.
    pub(super) offered: Vec<Package>,
    /// The standard libraries for each architecture, by Debian's name of it.
    pub(super) libraries: Vec<(&'static str, Vec<Package>)>,
}

/// The compiler to use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one that is installed.
    Installed,
    /// This one, once it has been installed.
    Install(Package),
}

impl Package {
    /// `1.96.0` of `1.96.0+dfsg1-1~deb12u2`.
    pub(super) fn upstream(&self) -> &str {
        self.version
            .split(['+', '-', '~'])
            .next()
            .unwrap_or_default()
    }

    /// The standard library's package for a compiler's: rustc-web goes with libstd-rust-web-dev,
    /// rustc with libstd-rust-dev.
    pub(super) fn library(&self) -> String {
        format!("libstd-rust{}-dev", self.name.trim_start_matches("rustc"))
    }

    /// Whether this compiler takes that standard library.
    pub(super) fn takes(&self, library: &Self) -> bool {
        self.library() == library.name && self.upstream() == library.upstream()
    }
}

impl Facts {
    /// The installed compiler if it will do, else the newest offered one that will, a rustc-web
    /// before others.
    pub(super) fn choose(&self) -> Result<Choice> {
        if self.installed.as_ref().is_some_and(|one| self.will_do(one)) {
            return Ok(Choice::Installed);
        }
        let best = self
            .offered
            .iter()
            .filter(|one| self.will_do(one))
            .max_by(|a, b| {
                let web = |one: &Package| one.name == "rustc-web";
                let by_version = || compare_versions(&a.version, &b.version);
                web(a).cmp(&web(b)).then_with(by_version)
            });
        let Some(best) = best else {
            bail!("{}", self.mismatch());
        };
        Ok(Choice::Install(best.clone()))
    }

    fn will_do(&self, compiler: &Package) -> bool {
        is_new_enough(compiler) && self.lacking(compiler).is_empty()
    }

    /// The architectures without a standard library that this compiler takes.
    fn lacking(&self, compiler: &Package) -> Vec<&'static str> {
        let takes_none = |libraries: &[Package]| !libraries.iter().any(|one| compiler.takes(one));
        self.libraries
            .iter()
            .filter(|(_, libraries)| takes_none(libraries))
            .map(|(arch, _)| *arch)
            .collect()
    }

    /// Why the installed compiler won't do.
    pub(super) fn why_not_installed(&self) -> String {
        let Some(compiler) = &self.installed else {
            return "no Rust compiler of Debian's is installed".to_owned();
        };
        let installed = format!("{} {} is installed", compiler.name, compiler.upstream());
        if !is_new_enough(compiler) {
            return format!("{installed}, but {OLDEST} or newer is needed");
        }
        let archs = self.lacking(compiler).join(", ");
        format!("{installed}, but the archive has no standard library of that version for {archs}")
    }

    /// The compilers and libraries that there are, when none go together.
    fn mismatch(&self) -> String {
        let installed = self.installed.as_ref();
        let installed = installed.map_or("none".to_owned(), |one| versions([one]));
        let libraries: Vec<String> = self
            .libraries
            .iter()
            .map(|(arch, libraries)| format!("for {arch} {}", versions(libraries)))
            .collect();
        format!(
            "no Rust compiler of Debian's, {OLDEST} or newer, has the same version as a standard \
             library for each architecture; compilers: installed {installed}, offered {}; \
             standard libraries: {}",
            versions(&self.offered),
            libraries.join(", ")
        )
    }
}

fn is_new_enough(compiler: &Package) -> bool {
    compare_versions(compiler.upstream(), OLDEST).is_ge()
}

fn versions<'a>(packages: impl IntoIterator<Item = &'a Package>) -> String {
    let mut found: Vec<String> = packages
        .into_iter()
        .map(|package| format!("{} {}", package.name, package.upstream()))
        .collect();
    found.dedup();
    if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(" / ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "1.85.0+dfsg3-1~deb12u3";
    const NEW: &str = "1.96.0+dfsg1-1~deb12u2";
    const NEW_ELSEWHERE: &str = "1.96.0+dfsg1-1~deb13u1+b1";

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    fn facts(
        installed: Option<&str>,
        offered: &[&str],
        libraries: &[(&'static str, &[&str])],
    ) -> Facts {
        let web = |name: &str, versions: &[&str]| -> Vec<Package> {
            versions.iter().map(|one| package(name, one)).collect()
        };
        Facts {
            installed: installed.map(|version| package("rustc-web", version)),
            offered: web("rustc-web", offered),
            libraries: libraries
                .iter()
                .map(|(arch, versions)| (*arch, web("libstd-rust-web-dev", versions)))
                .collect(),
        }
    }

    fn install(version: &str) -> Choice {
        Choice::Install(package("rustc-web", version))
    }

    #[test]
    fn an_installed_compiler_that_fits_stays() {
        let facts = facts(Some(OLD), &[OLD, NEW], &[("arm64", &[OLD, NEW_ELSEWHERE])]);
        assert_eq!(facts.choose().unwrap(), Choice::Installed);
    }

    #[test]
    fn a_compiler_that_does_not_fit_every_architecture_is_upgraded() {
        let libraries: [(&str, &[&str]); 2] =
            [("arm64", &[OLD, NEW]), ("riscv64", &[NEW_ELSEWHERE])];
        let facts = facts(Some(OLD), &[OLD, NEW], &libraries);
        assert_eq!(facts.choose().unwrap(), install(NEW));
    }

    #[test]
    fn the_newest_that_fits_is_installed_not_the_newest_of_all() {
        let newest = "1.97.1+dfsg1-1";
        let offered = [OLD, newest, NEW];
        let libraries: [(&str, &[&str]); 1] = [("s390x", &[NEW_ELSEWHERE, OLD])];
        assert_eq!(
            facts(None, &offered, &libraries).choose().unwrap(),
            install(NEW)
        );
    }

    #[test]
    fn a_compiler_that_is_too_old_for_the_workspace_is_none() {
        let ancient = "1.78.0+dfsg1-2~deb11u3";
        let libraries: [(&str, &[&str]); 1] = [("arm64", &[ancient, NEW])];
        assert_eq!(
            facts(Some(ancient), &[ancient, NEW], &libraries)
                .choose()
                .unwrap(),
            install(NEW)
        );
        // 1.100 is newer than 1.85, though not as text.
        let next = "1.100.0+dfsg1-1";
        assert_eq!(
            facts(Some(next), &[], &[("arm64", &[next])])
                .choose()
                .unwrap(),
            Choice::Installed
        );
    }

    #[test]
    fn an_installed_compiler_that_will_not_do_is_explained() {
        let why = |installed, libraries: &[(&'static str, &[&str])]| {
            facts(installed, &[], libraries).why_not_installed()
        };
        let libraries: [(&str, &[&str]); 2] = [("arm64", &[OLD]), ("riscv64", &[NEW])];
        assert_eq!(
            why(Some(OLD), &libraries),
            "rustc-web 1.85.0 is installed, but the archive has no standard library of that \
             version for riscv64"
        );
        assert_eq!(
            why(Some("1.78.0+dfsg1-2~deb11u3"), &libraries),
            "rustc-web 1.78.0 is installed, but 1.85 or newer is needed"
        );
    }

    #[test]
    fn old_lists_are_an_error_that_says_what_there_is() {
        let error = facts(
            None,
            &[OLD],
            &[("riscv64", &[NEW_ELSEWHERE]), ("armhf", &[])],
        )
        .choose()
        .unwrap_err()
        .to_string();
        assert!(
            error.ends_with(
                "compilers: installed none, offered rustc-web 1.85.0; standard libraries: \
                 for riscv64 libstd-rust-web-dev 1.96.0, for armhf none"
            ),
            "{error}"
        );
    }

    #[test]
    fn each_compiler_takes_the_library_of_its_own_packaging() {
        let (web, plain) = (package("rustc-web", NEW), package("rustc", NEW));
        assert!(web.takes(&package("libstd-rust-web-dev", NEW_ELSEWHERE)));
        assert!(!web.takes(&package("libstd-rust-dev", NEW)));
        assert!(plain.takes(&package("libstd-rust-dev", NEW)));
        assert!(!plain.takes(&package("libstd-rust-dev", OLD)));
        // rustc-web goes first, even where the other is newer.
        let both = Facts {
            installed: None,
            offered: vec![web.clone(), package("rustc", "1.97.1+dfsg1-1")],
            libraries: vec![(
                "arm64",
                vec![
                    package("libstd-rust-dev", "1.97.1+dfsg1-1"),
                    package("libstd-rust-web-dev", NEW),
                ],
            )],
        };
        assert_eq!(both.choose().unwrap(), Choice::Install(web));
    }
}
