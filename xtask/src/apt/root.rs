//! A private root of apt: sources, lists and a cache in a directory of ours, for one architecture.
//! Of the system, only apt's configuration (proxies, for example) and keys are read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};

use super::{Apt, FETCH, Mirror};
use crate::{process, progress::Progress};

/// apt for one architecture, with an index of its own.
#[derive(Debug)]
pub(crate) struct Root {
    apt: Apt,
    dir: PathBuf,
    deb_arch: String,
}

impl Root {
    /// How old an index may be in general.
    pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

    /// The root in `dir`, with these suites. Makes it if it is missing. The caller holds a lock on
    /// `dir`.
    pub(crate) fn open(
        dir: &Path,
        mirror: &Mirror,
        suites: &[&str],
        deb_arch: &str,
    ) -> Result<Self> {
        let state = dir.join("state");
        let status = state.join("status");
        fs::create_dir_all(&state).with_context(|| format!("can't make {}", state.display()))?;
        write(&status, "")?;
        let system = format!(
            "Dir::State \"{}\";\nDir::State::status \"{}\";\nAPT::Architecture \"{deb_arch}\";\n\
             #clear APT::Architectures;\nAPT::Architectures {{ \"{deb_arch}\"; }};\n",
            state.display(),
            status.display()
        );
        Self::set_up(dir, mirror, suites, deb_arch, &system)
    }

    /// A root with sources of our own that installs packages on the system itself.
    pub(crate) fn for_system(dir: &Path, mirror: &Mirror, suites: &[&str]) -> Result<Self> {
        let mut dpkg = Command::new("dpkg");
        let native = process::output(dpkg.arg("--print-architecture"), Duration::from_secs(10))?;
        Self::set_up(dir, mirror, suites, native.trim(), "")
    }

    fn set_up(
        dir: &Path,
        mirror: &Mirror,
        suites: &[&str],
        deb_arch: &str,
        system: &str,
    ) -> Result<Self> {
        let sources = mirror.sources(suites, deb_arch);
        let sources_file = dir.join("sources/debian.sources");
        let same = fs::read_to_string(&sources_file).is_ok_and(|text| text == sources);
        if !same {
            // The lists of another archive don't describe this one.
            fs::remove_dir_all(dir.join("lists")).ok();
            fs::remove_file(dir.join("updated")).ok();
        }
        for sub in ["sources", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))
                .with_context(|| format!("can't make {}", dir.join(sub).display()))?;
        }
        if !same {
            write(&sources_file, &sources)?;
        }
        let config = dir.join("apt.conf");
        write(&config, &(configuration(dir) + system))?;
        // apt reads `-c` after the system's configuration, so it overrides that.
        let options = vec!["-c".to_owned(), config.display().to_string()];
        Ok(Self {
            apt: Apt { options },
            dir: dir.to_owned(),
            deb_arch: deb_arch.to_owned(),
        })
    }

    pub(crate) fn apt(&self) -> &Apt {
        &self.apt
    }

    /// When the index was last brought up to date.
    pub(crate) fn updated(&self) -> Option<SystemTime> {
        fs::metadata(self.dir.join("updated")).ok()?.modified().ok()
    }

    /// Brings the index up to date when it is older than `age`. If a part
    /// can't be downloaded, prints a notice, and uses the part as it was.
    pub(crate) fn refresh(&self, age: Duration, progress: &Progress) -> Result<()> {
        let since = self.updated().and_then(|time| time.elapsed().ok());
        if since.is_some_and(|since| since < age) {
            return Ok(());
        }
        let _line = progress.line(format!("package index for {}", self.deb_arch));
        if let Err(error) = self.apt.update() {
            let has_lists = fs::read_dir(self.dir.join("lists"))?
                .filter_map(Result::ok)
                .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
            let text = format!("{error:#}");
            let said = first_error(&text);
            if !has_lists {
                bail!("can't get the archive's index: {said}");
            }
            progress.say(format!(
                "notice: apt couldn't bring all of the archive's index up to date: {said}"
            ));
        }
        write(&self.dir.join("updated"), "")
    }

    /// Downloads packages into `to`; apt checks them against the signed index.
    pub(crate) fn download(
        &self,
        packages: &[(String, String)],
        to: &Path,
    ) -> Result<Vec<PathBuf>> {
        let mut command = self.apt.command("apt-get");
        command.args(["download", "-qq"]).current_dir(to);
        command.args(
            packages
                .iter()
                .map(|(name, version)| format!("{name}={version}")),
        );
        process::output(&mut command, FETCH)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(to)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "deb") {
                files.push(path);
            }
        }
        if files.len() != packages.len() {
            bail!(
                "apt downloaded {} files for {} packages",
                files.len(),
                packages.len()
            );
        }
        Ok(files)
    }
}

/// The first error in apt's output. The others mostly follow from it, or repeat it for each suite.
pub(crate) fn first_error(text: &str) -> &str {
    let said = text.lines().find_map(|line| line.strip_prefix("E:"));
    said.map_or(text, str::trim)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{dir}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{dir}/lists";
Dir::Cache "{dir}/cache";
Dir::Cache::archives "{dir}/cache/archives";
Dir::Cache::pkgcache "{dir}/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "{dir}/cache/srcpkgcache.bin";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
Acquire::Languages "none";
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stands_for_all() {
        let text = "`apt-get update` failed: exit status: 100\n\
                    W: GPG error: http://one.test trixie InRelease: no public key\n\
                    E: Failed to fetch http://one.test/dists/trixie/InRelease  Connection refused\n\
                    E: Some index files failed to download.";
        assert_eq!(
            first_error(text),
            "Failed to fetch http://one.test/dists/trixie/InRelease  Connection refused"
        );
        assert_eq!(first_error("apt-get: not found"), "apt-get: not found");
    }

    #[test]
    fn another_archive_starts_from_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = |uri: &str| Mirror {
            uri: uri.to_owned(),
            signed_by: None,
            trusted: false,
        };
        let open = |uri: &str| Root::open(dir.path(), &mirror(uri), &["sid"], "s390x").unwrap();
        let list = dir.path().join("lists/one.test_Packages");
        let root = open("http://one.test/debian");
        fs::write(&list, "").unwrap();
        fs::write(dir.path().join("updated"), "").unwrap();
        assert!(root.updated().is_some());
        assert!(open("http://one.test/debian").updated().is_some() && list.exists());
        assert!(open("http://two.test/debian").updated().is_none() && !list.exists());
    }
}
