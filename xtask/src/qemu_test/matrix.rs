//! Which guests there are to be: the architectures that were asked for, each on its kernels.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::kernel::{Archive, Index, Kernel};
use crate::apt::Mirror;
use crate::arch::{Arch, Platform, Series};
use crate::progress::Progress;

/// The long-lived series that Debian's releases have, oldest first.
const LONG_LIVED: [&str; 3] = ["5.10", "6.1", "6.12"];

/// One guest to be.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) arch: &'static Arch,
    pub(crate) kernel: Arc<Kernel>,
}

/// Finds, and gets where they aren't in the cache, the kernels of all guests.
pub(crate) fn plan(
    archs: &[&'static Arch],
    named: &[String],
    mirror: &Mirror,
    progress: &Progress,
) -> Result<Vec<Planned>> {
    let mut platforms: Vec<&'static Platform> = Vec::new();
    for arch in archs {
        if !platforms
            .iter()
            .any(|platform| platform.deb == arch.platform.deb)
        {
            platforms.push(arch.platform);
        }
    }
    let mut planned = Vec::new();
    for platform in platforms {
        let archive = Archive::open(platform, mirror, progress)?;
        let mut kernels: Vec<Arc<Kernel>> = Vec::new();
        for arch in archs
            .iter()
            .filter(|arch| arch.platform.deb == platform.deb)
        {
            for series in series(arch.series, named, archive.index()).with_context(|| {
                format!("the archive has no released kernel for {}", platform.deb)
            })? {
                let known = kernels
                    .iter()
                    .find(|kernel| kernel.series == series)
                    .cloned();
                let kernel = match known {
                    Some(kernel) => kernel,
                    None => Arc::new(archive.kernel(&series, progress)?),
                };
                kernels.push(Arc::clone(&kernel));
                planned.push(Planned { arch, kernel });
            }
        }
    }
    let place = |guest: &Planned| archs.iter().position(|arch| arch.name == guest.arch.name);
    planned.sort_by_key(place);
    Ok(planned)
}

/// The series that were named, else the default ones, each once; nothing when the archive has no
/// released kernel at all.
fn series(default: Series, named: &[String], index: &Index) -> Option<Vec<String>> {
    let by_name = |name: &String| match name.as_str() {
        "oldest" => Some(LONG_LIVED[0].to_owned()),
        "newest" => index.newest_series().map(str::to_owned),
        _ => Some(name.clone()),
    };
    let mut wanted: Vec<String> = match default {
        _ if !named.is_empty() => named.iter().map(by_name).collect::<Option<_>>()?,
        Series::Only(series) => vec![series.to_owned()],
        Series::Matrix => {
            let newest = index.newest_series()?.to_owned();
            LONG_LIVED
                .iter()
                .map(|&series| series.to_owned())
                .chain([newest])
                .collect()
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
