//! Which kernels the archive has.
//!
//! Up to 6.18 the package `linux-image-RELEASE` holds the kernel and its modules. Later ones hold
//! nothing: the kernel is in `linux-binary-RELEASE` and the modules in `linux-modules-RELEASE`,
//! which the image's package depends on.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, bail};
use deb_version::compare_versions;
use serde::{Deserialize, Serialize};

use crate::apt::{Root, Stanza};
use crate::progress::Progress;

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
}

impl Release {
    /// Whether the kernel itself is released; release candidates and what Debian keeps in
    /// `experimental` have a version that says so.
    fn is_released(&self) -> bool {
        !self.version.contains("~rc") && !self.version.contains("~exp")
    }

    fn from_stanza(stanza: &Stanza, flavour: &str) -> Option<Self> {
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
        let parts = ["linux-binary-", "linux-modules-"].map(|prefix| format!("{prefix}{release}"));
        let depends = stanza.field("Depends");
        let is_split = depends
            .split(',')
            .any(|dependency| dependency.split_whitespace().next() == Some(parts[0].as_str()));
        let holders = if is_split {
            parts.to_vec()
        } else {
            vec![name.to_owned()]
        };
        let packages = holders
            .into_iter()
            .map(|name| (name, version.clone()))
            .collect();
        Some(Self {
            release: release.to_owned(),
            series,
            version,
            packages,
        })
    }
}

/// `6.12` of `6.12.107+deb13`.
fn series(number: &str) -> Option<String> {
    let mut parts = number.split(['.', '+']);
    let (major, minor) = (parts.next()?, parts.next()?);
    (major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
        .then(|| format!("{major}.{minor}"))
}

/// The kernels of one flavour.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// Tells whether apt's index is newer: its time, and the flavour.
    stamp: (Duration, String),
    releases: Vec<Release>,
}

impl Index {
    /// Reads apt's index, or what an earlier run made of it.
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
        let names: Vec<String> = apt
            .names("linux-image-")?
            .into_iter()
            .filter(|name| name.ends_with(&format!("-{flavour}")))
            .collect();
        let index = Self::new(stamp, &apt.show(&names)?);
        // Whole or not at all, should we be ended now.
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(&index)?)?;
        fs::rename(&new, file)?;
        Ok(index)
    }

    fn new(stamp: (Duration, String), stanzas: &[Stanza]) -> Self {
        let mut releases: Vec<Release> = stanzas
            .iter()
            .filter_map(|stanza| Release::from_stanza(stanza, &stamp.1))
            .collect();
        releases.sort_by(|a, b| compare_versions(&a.version, &b.version));
        Self { stamp, releases }
    }

    /// The newest kernel of a series; what there is when there is none.
    pub(crate) fn newest_of(&self, series: &str, deb_arch: &str) -> Result<&Release> {
        let of_series = |release: &&Release| release.series == series;
        let found = self.releases.iter().rev().find(of_series);
        let Some(found) = found else {
            let mut known: Vec<&str> = self
                .releases
                .iter()
                .map(|release| release.series.as_str())
                .collect();
            known.dedup();
            if known.is_empty() {
                bail!("the archive has no kernels for {deb_arch}");
            }
            bail!(
                "the archive has no kernel of series {series} for {deb_arch}; there are: {}",
                known.join(", ")
            );
        };
        Ok(found)
    }

    /// The newest series that is released.
    pub(crate) fn newest_series(&self) -> Option<&str> {
        let released = |release: &&Release| release.is_released();
        Some(&self.releases.iter().rev().find(released)?.series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(name: &str, version: &str, depends: &str) -> Stanza {
        Stanza::new(&format!(
            "Package: {name}\nVersion: {version}\nDepends: {depends}\n"
        ))
    }

    fn index(stanzas: &[Stanza]) -> Index {
        Index::new((Duration::ZERO, "cloud-amd64".into()), stanzas)
    }

    fn sample() -> Index {
        let split = "linux-base (= 1), linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
                     linux-modules-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)";
        index(&[
            stanza("linux-image-7.2.13+deb14-cloud-amd64", "7.2.13-1", split),
            stanza("linux-image-7.3-rc4-cloud-amd64", "7.3~rc4-1~exp1", "kmod"),
            stanza("linux-image-7.4-cloud-amd64", "7.4.1-1~exp1", "kmod"),
            stanza("linux-image-5.10.0-32-cloud-amd64", "5.10.223-1", "kmod"),
            stanza("linux-image-5.10.0-9-cloud-amd64", "5.10.70-1", "kmod"),
            stanza("linux-image-6.12.94+deb13-cloud-amd64", "6.12.94-1", "kmod"),
            stanza(
                "linux-image-6.12.107+deb13-cloud-amd64",
                "6.12.107-1",
                "kmod",
            ),
            stanza(
                "linux-image-6.12.200+deb13-rt-cloud-amd64",
                "6.12.200-1",
                "kmod",
            ),
            stanza("linux-image-cloud-amd64", "9.9-1", "kmod"),
        ])
    }

    #[test]
    fn the_newest_of_a_series_is_by_version_not_by_name() {
        let index = sample();
        assert_eq!(
            index.newest_of("5.10", "amd64").unwrap().release,
            "5.10.0-32-cloud-amd64"
        );
        let newest = index.newest_of("6.12", "amd64").unwrap();
        assert_eq!(newest.release, "6.12.107+deb13-cloud-amd64");
        let image = (
            "linux-image-6.12.107+deb13-cloud-amd64".into(),
            "6.12.107-1".into(),
        );
        assert_eq!(newest.packages, [image]);
    }

    #[test]
    fn newer_kernels_are_in_two_packages() {
        let index = sample();
        let names: Vec<_> = index
            .newest_of("7.2", "amd64")
            .unwrap()
            .packages
            .iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "linux-binary-7.2.13+deb14-cloud-amd64",
                "linux-modules-7.2.13+deb14-cloud-amd64"
            ]
        );
    }

    #[test]
    fn only_what_is_released_is_a_default() {
        let index = sample();
        assert_eq!(index.newest_series(), Some("7.2"));
        // Whoever names a series gets what there is.
        assert_eq!(
            index.newest_of("7.3", "amd64").unwrap().release,
            "7.3-rc4-cloud-amd64"
        );
    }

    #[test]
    fn an_unknown_series_lists_those_there_are() {
        let error = sample().newest_of("4.4", "amd64").unwrap_err().to_string();
        assert_eq!(
            error,
            "the archive has no kernel of series 4.4 for amd64; \
             there are: 5.10, 6.12, 7.2, 7.3, 7.4"
        );
        assert!(
            index(&[])
                .newest_of("6.1", "s390x")
                .unwrap_err()
                .to_string()
                .contains("no kernels")
        );
    }
}
