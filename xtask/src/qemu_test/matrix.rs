//! Which guests to boot: each architecture that was asked for, on each of its kernels.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result};

use super::kernel::{Archive, Index, Kernel};
use crate::{
    apt::Mirror,
    arch::{Arch, Platform, Series},
    interrupt,
    progress::Progress,
};

/// The long-lived series that Debian's releases have, oldest first.
pub(crate) const LONG_LIVED: [&str; 3] = ["5.10", "6.1", "6.12"];

/// A guest to boot.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) arch: &'static Arch,
    pub(crate) kernel: Arc<Kernel>,
}

/// All guests of a run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) guests: Vec<Planned>,
    /// The kernels that aren't available, with the reason, one line each.
    pub(crate) unavailable: Vec<String>,
}

/// Finds the kernels of all guests, and downloads those that aren't in the cache. A kernel that
/// isn't available ends up in [`Plan::unavailable`]; the others are booted.
pub(crate) fn plan(
    archs: &[&'static Arch],
    named: &[String],
    mirror: &Mirror,
    progress: &Progress,
) -> Result<Plan> {
    let mut platforms: Vec<&'static Platform> = Vec::new();
    for arch in archs {
        if !platforms
            .iter()
            .any(|platform| platform.deb == arch.platform.deb)
        {
            platforms.push(arch.platform);
        }
    }
    let mut plan = Plan::default();
    for platform in platforms {
        let archs = archs
            .iter()
            .filter(|arch| arch.platform.deb == platform.deb);
        let added = plan.add(platform, archs, named, mirror, progress);
        interrupt::check()?;
        if let Err(error) = added {
            plan.unavailable.push(one_line(&error));
        }
    }
    let place = |guest: &Planned| archs.iter().position(|arch| arch.name == guest.arch.name);
    plan.guests.sort_by_key(place);
    Ok(plan)
}

impl Plan {
    /// Adds the guests of one platform. An error means that it has none.
    fn add<'a>(
        &mut self,
        platform: &'static Platform,
        archs: impl Iterator<Item = &'a &'static Arch>,
        named: &[String],
        mirror: &Mirror,
        progress: &Progress,
    ) -> Result<()> {
        let archive = Archive::open(platform, mirror, progress)
            .with_context(|| format!("no kernel is available for {}", platform.deb))?;
        // Several architectures run on the same kernels. Each kernel is looked for once.
        let mut kernels: BTreeMap<String, Option<Arc<Kernel>>> = BTreeMap::new();
        for arch in archs {
            let wanted = series(arch.series, named, archive.index()).with_context(|| {
                format!(
                    "the archive has no released kernel for {} that is complete",
                    platform.deb
                )
            })?;
            for series in wanted {
                if !kernels.contains_key(&series) {
                    let kernel = match archive.kernel(&series, progress) {
                        Ok(kernel) => Some(Arc::new(kernel)),
                        Err(error) => {
                            interrupt::check()?;
                            self.unavailable.push(one_line(&error));
                            None
                        }
                    };
                    kernels.insert(series.clone(), kernel);
                }
                if let Some(kernel) = &kernels[&series] {
                    let kernel = Arc::clone(kernel);
                    self.guests.push(Planned { arch, kernel });
                }
            }
        }
        Ok(())
    }
}

/// An error as one line. apt's errors have several.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

/// The series that were named, or the default ones, each once. `None` if the archive has no
/// released kernel that is complete.
fn series(default: Series, named: &[String], index: &Index) -> Option<Vec<String>> {
    let by_name = |name: &String| match name.as_str() {
        "oldest" => index.oldest_series().map(str::to_owned),
        "newest" => index.newest_series().map(str::to_owned),
        _ => Some(name.clone()),
    };
    let mut wanted: Vec<String> = match default {
        _ if !named.is_empty() => named.iter().map(by_name).collect::<Option<_>>()?,
        Series::Only(series) => vec![series.to_owned()],
        Series::Matrix => {
            let newest = index.newest_series()?;
            let all = LONG_LIVED.iter().copied().chain([newest]);
            all.map(str::to_owned).collect()
        }
    };
    let mut seen = Vec::new();
    wanted.retain(|series| {
        let new = !seen.contains(series);
        seen.push(series.clone());
        new
    });
    Some(wanted)
}
