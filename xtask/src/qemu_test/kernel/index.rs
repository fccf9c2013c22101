//! Which kernels the archive has.
//!
//! Up to 6.18 the package `linux-image-RELEASE` has the kernel and its modules. From 6.19 on it is
//! empty: it depends on `linux-binary-RELEASE`, which has the kernel, and on
//! `linux-modules-RELEASE`, which has the modules. The archive sometimes has only one of the two;
//! then the release can't be booted.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use deb_version::compare_versions;
use serde::{Deserialize, Serialize};

use crate::{
    apt::{Root, Stanza},
    progress::Progress,
};

/// A kernel that the archive has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// What `uname -r` prints on it.
    pub(crate) release: String,
    /// The first two numbers of its version.
    pub(crate) series: String,
    /// The packages' version.
    version: String,
    /// Names and versions of the packages that hold it.
    pub(crate) packages: Vec<(String, String)>,
    /// Those of them that the index doesn't have.
    missing: Vec<String>,
}

/// The packages that the kernel and its modules are in, for releases whose image package is empty.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];

impl Release {
    /// Whether the kernel itself is released; release candidates and what Debian keeps in
    /// `experimental` have a version that says so.
    fn is_released(&self) -> bool {
        !self.version.contains("~rc") && !self.version.contains("~exp")
    }

    /// Whether the archive has all packages that hold it.
    fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// `indexed` are the names and versions of all packages in the index.
    fn from_stanza(
        stanza: &Stanza,
        flavour: &str,
        indexed: &BTreeSet<(&str, &str)>,
    ) -> Option<Self> {
        let name = stanza.field("Package");
        let release = name.strip_prefix("linux-image-")?;
        let number = release.strip_suffix(flavour)?.strip_suffix('-')?;
        // Other flavours and debugging symbols have further words.
        let mut words = number.split('-');
        let series = series(words.next()?)?;
        if !words.all(|word| {
            word.strip_prefix("rc")
                .unwrap_or(word)
                .parse::<u32>()
                .is_ok()
        }) {
            return None;
        }
        let version = stanza.field("Version").to_owned();
        let mut packages: Vec<(String, String)> = PARTS
            .iter()
            .filter_map(|part| depends_on(stanza, &format!("{part}{release}")))
            .collect();
        if packages.is_empty() {
            packages.push((name.to_owned(), version.clone()));
        }
        let missing = packages
            .iter()
            .filter(|(name, version)| !indexed.contains(&(name, version)))
            .map(|(name, _)| name.clone())
            .collect();
        Some(Self {
            release: release.to_owned(),
            series,
            version,
            packages,
            missing,
        })
    }
}

/// The package `name` and its version, if `stanza` depends on it as `NAME (= VERSION)`.
fn depends_on(stanza: &Stanza, name: &str) -> Option<(String, String)> {
    stanza.field("Depends").split(',').find_map(|dependency| {
        let version = dependency
            .trim()
            .strip_prefix(name)?
            .trim_start()
            .strip_prefix("(=")?
            .strip_suffix(')')?;
        Some((name.to_owned(), version.trim().to_owned()))
    })
}

/// `6.12` of `6.12.107+deb13`.
pub(super) fn series(number: &str) -> Option<String> {
    let mut parts = number.split(['.', '+', '-']);
    let (major, minor) = (parts.next()?, parts.next()?);
    (major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
        .then(|| format!("{major}.{minor}"))
}

/// The kernels of one flavour.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// The time of apt's index that this was read from, and the flavour.
    stamp: (Duration, String),
    releases: Vec<Release>,
}

impl Index {
    /// Reads the list of kernels from apt's index, or from the cache if apt's index is the same.
    pub(super) fn load(
        file: &Path,
        root: &Root,
        flavour: &str,
        progress: &Progress,
    ) -> Result<Self> {
        let time = root
            .updated()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let stamp = (time.unwrap_or_default(), flavour.to_owned());
        let cached = fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        if let Some(index) = cached.filter(|index| index.stamp == stamp) {
            return Ok(index);
        }
        let _line = progress.line("list of kernels");
        let apt = root.apt();
        let ending = format!("-{flavour}");
        let mut names = Vec::new();
        for prefix in ["linux-image-"].iter().chain(&PARTS) {
            let found = apt.names(prefix)?;
            names.extend(found.into_iter().filter(|name| name.ends_with(&ending)));
        }
        let index = Self::new(stamp, &apt.show(&names)?);
        // A rename, so that the file is whole even if this process is killed now.
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(&index)?)?;
        fs::rename(&new, file)?;
        Ok(index)
    }

    fn new(stamp: (Duration, String), stanzas: &[Stanza]) -> Self {
        let indexed = stanzas
            .iter()
            .map(|stanza| (stanza.field("Package"), stanza.field("Version")))
            .collect();
        let mut releases: Vec<Release> = stanzas
            .iter()
            .filter_map(|stanza| Release::from_stanza(stanza, &stamp.1, &indexed))
            .collect();
        releases.sort_by(|a, b| compare_versions(&a.version, &b.version));
        Self { stamp, releases }
    }

    /// The newest complete kernel of a series. The error says why there is none, and which series
    /// are available.
    pub(crate) fn newest_of(&self, series: &str, deb_arch: &str) -> Result<&Release> {
        let mut newest_first = self.releases.iter().rev();
        let of_series = |release: &&Release| release.series == series;
        if let Some(found) = newest_first
            .clone()
            .filter(of_series)
            .find(|release| release.is_complete())
        {
            return Ok(found);
        }
        let Some(newest) = newest_first.find(of_series) else {
            bail!(
                "the archive has no kernel of series {series} for {deb_arch}; {}",
                self.complete_series()
            );
        };
        bail!(
            "kernel series {series} isn't available for {deb_arch}: the archive lists {} \
             without {}, and no older release of {series} is complete; {}",
            newest.release,
            newest.missing.join(" and "),
            self.complete_series()
        );
    }

    /// Which series are available, for an error message.
    fn complete_series(&self) -> String {
        let mut known: Vec<&str> = self
            .releases
            .iter()
            .filter(|release| release.is_complete())
            .map(|release| release.series.as_str())
            .collect();
        known.dedup();
        if known.is_empty() {
            "no other series is available".to_owned()
        } else {
            format!("available: {}", known.join(", "))
        }
    }

    /// The newest series with a released kernel that is complete.
    pub(crate) fn newest_series(&self) -> Option<&str> {
        self.available().next_back()
    }

    /// The oldest series with a released kernel that is complete.
    pub(crate) fn oldest_series(&self) -> Option<&str> {
        self.available().next()
    }

    /// Each series with a released kernel that is complete, oldest first.
    pub(crate) fn all_series(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.available().collect();
        all.dedup();
        all
    }

    /// The series of each released kernel that is complete, oldest first.
    fn available(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.releases
            .iter()
            .filter(|release| release.is_released() && release.is_complete())
            .map(|release| release.series.as_str())
    }
}

#[cfg(test)]
mod tests;
