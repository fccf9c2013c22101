//! Which guests to boot: each architecture that was asked for, on each of its kernels.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};

use super::kernel::{self, Archive, Index, Kernel};
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

/// What `--kernel` names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Series of the archive. If there are none and no images, the default ones are meant.
    series: Vec<Name>,
    images: Vec<Image>,
}

/// A series of the archive, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    /// A number, or `all`, `oldest` or `newest`.
    series: String,
    /// The pages' size, where it isn't 4 KiB: `16k`.
    pages: Option<String>,
}

/// A kernel given by its path.
#[derive(Debug)]
struct Image {
    /// Debian's name of the architecture.
    deb: &'static str,
    kernel: Arc<Kernel>,
}

impl Name {
    fn parse(text: &str) -> Self {
        let is_size = |text: &str| {
            let number = text.strip_suffix('k').unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (series, pages) = match text.rsplit_once('-') {
            Some((series, size)) if is_size(size) => (series, Some(size.to_owned())),
            _ => (text, None),
        };
        Self {
            series: series.to_owned(),
            pages,
        }
    }

    /// The name of a series with such pages, in reports.
    fn label(&self, series: &str) -> String {
        match &self.pages {
            Some(pages) => format!("{series}-{pages}"),
            None => series.to_owned(),
        }
    }

    /// The series that are meant. `None` if the archive has no released kernel that is complete.
    fn expand(&self, index: &Index) -> Option<Vec<String>> {
        let all: Vec<String> = match self.series.as_str() {
            "all" => index.all_series().into_iter().map(str::to_owned).collect(),
            "oldest" => index
                .oldest_series()
                .map(str::to_owned)
                .into_iter()
                .collect(),
            "newest" => index
                .newest_series()
                .map(str::to_owned)
                .into_iter()
                .collect(),
            number => vec![number.to_owned()],
        };
        (!all.is_empty()).then_some(all)
    }
}

impl Named {
    /// Reads the kernels that are given by their paths: what has a slash is a path.
    pub(crate) fn read(
        named: &[String],
        modules: Option<&Path>,
        archs: &[&'static Arch],
    ) -> Result<Self> {
        let (paths, series): (Vec<_>, Vec<_>) = named.iter().partition(|name| name.contains('/'));
        if modules.is_some() && paths.len() != 1 {
            bail!("--modules goes with one --kernel that is a path");
        }
        let mut images: Vec<Image> = Vec::new();
        for path in paths {
            let image = read_image(Path::new(path), modules, archs)?;
            // Guests are told from each other by these names.
            let same =
                |one: &Image| one.deb == image.deb && one.kernel.series == image.kernel.series;
            if images.iter().any(same) {
                bail!(
                    "{path} would be a second {}: boot them in two runs",
                    image.kernel.series
                );
            }
            images.push(image);
        }
        let series = series.into_iter().map(|name| Name::parse(name)).collect();
        Ok(Self { series, images })
    }
}

fn read_image(path: &Path, modules: Option<&Path>, archs: &[&'static Arch]) -> Result<Image> {
    let local = kernel::load_local(path, modules)?;
    let mut debs: Vec<&'static str> = archs.iter().map(|arch| arch.platform.deb).collect();
    debs.dedup();
    let deb = match (local.deb, debs.as_slice()) {
        (Some(deb), debs) if debs.contains(&deb) => deb,
        (Some(deb), _) => bail!(
            "{} is a kernel for {deb}: with --arch, name an architecture that runs on it",
            path.display()
        ),
        (None, [deb]) => deb,
        (None, _) => bail!(
            "{} doesn't say for which architecture it is: name the architecture with --arch",
            path.display()
        ),
    };
    Ok(Image {
        deb,
        kernel: Arc::new(local.kernel),
    })
}

/// Finds the kernels of all guests, and downloads those that aren't in the cache. A kernel that
/// isn't available ends up in [`Plan::unavailable`]; the others are booted.
pub(crate) fn plan(
    archs: &[&'static Arch],
    named: &Named,
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
    // With paths alone, no archive is needed.
    if !named.series.is_empty() || named.images.is_empty() {
        plan.unavailable = without_flavour(&named.series, &platforms);
        for platform in platforms {
            let archs = archs
                .iter()
                .filter(|arch| arch.platform.deb == platform.deb);
            let added = plan.add(platform, archs, &named.series, mirror, progress);
            interrupt::check()?;
            if let Err(error) = added {
                plan.unavailable.push(one_line(&error));
            }
        }
    }
    for image in &named.images {
        for arch in archs.iter().filter(|arch| arch.platform.deb == image.deb) {
            let kernel = Arc::clone(&image.kernel);
            plan.guests.push(Planned { arch, kernel });
        }
    }
    let place = |guest: &Planned| archs.iter().position(|arch| arch.name == guest.arch.name);
    plan.guests.sort_by_key(place);
    Ok(plan)
}

/// Why names with a size of pages stand for no kernel, if none of the platforms has such kernels.
fn without_flavour(names: &[Name], platforms: &[&'static Platform]) -> Vec<String> {
    let has = |size: &str| {
        let mut sizes = platforms.iter().flat_map(|platform| platform.other_pages);
        sizes.any(|(one, _)| *one == size)
    };
    let debs: Vec<&str> = platforms.iter().map(|platform| platform.deb).collect();
    let lacks = |name: &Name| {
        let size = name.pages.as_deref().filter(|size| !has(size))?;
        let debs = debs.join(" and ");
        Some(format!(
            "kernel series {} isn't available: the archive has no kernels with pages of {size} \
             for {debs}",
            name.label(&name.series)
        ))
    };
    names.iter().filter_map(lacks).collect()
}

impl Plan {
    /// Adds the guests of one platform. An error means that it has none.
    fn add<'a>(
        &mut self,
        platform: &'static Platform,
        archs: impl Iterator<Item = &'a &'static Arch>,
        named: &[Name],
        mirror: &Mirror,
        progress: &Progress,
    ) -> Result<()> {
        let archive = Archive::open(platform, mirror, progress)
            .with_context(|| format!("no kernel is available for {}", platform.deb))?;
        let mut others = BTreeMap::new();
        for size in named.iter().filter_map(|name| name.pages.as_deref()) {
            if let Some(index) = archive.index_of_pages(size, progress)? {
                others.insert(size, index);
            }
        }
        // Several architectures run on the same kernels. Each kernel is looked for once.
        let mut kernels: BTreeMap<String, Option<Arc<Kernel>>> = BTreeMap::new();
        for arch in archs {
            let mut seen = Vec::new();
            for name in names(arch.series, named) {
                let index = match &name.pages {
                    None => archive.index(),
                    // Kernels with other pages run no 32-bit programs.
                    Some(size) if arch.deb == platform.deb => match others.get(size.as_str()) {
                        Some(index) => index,
                        None => continue,
                    },
                    Some(_) => continue,
                };
                let wanted = name.expand(index).with_context(|| {
                    format!(
                        "the archive has no released kernel for {} that is complete",
                        platform.deb
                    )
                })?;
                for series in wanted {
                    let label = name.label(&series);
                    if seen.contains(&label) {
                        continue;
                    }
                    seen.push(label.clone());
                    if !kernels.contains_key(&label) {
                        let kernel = match archive.kernel(index, &series, progress) {
                            Ok(mut kernel) => {
                                kernel.series.clone_from(&label);
                                Some(Arc::new(kernel))
                            }
                            Err(error) => {
                                interrupt::check()?;
                                self.unavailable.push(one_line(&error));
                                None
                            }
                        };
                        kernels.insert(label.clone(), kernel);
                    }
                    if let Some(kernel) = &kernels[&label] {
                        let kernel = Arc::clone(kernel);
                        self.guests.push(Planned { arch, kernel });
                    }
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

/// The names that were given, or the default ones.
fn names(default: Series, named: &[Name]) -> Vec<Name> {
    let defaults = match default {
        _ if !named.is_empty() => return named.to_vec(),
        Series::Only(series) => vec![series],
        Series::Matrix => LONG_LIVED.iter().copied().chain(["newest"]).collect(),
    };
    defaults.into_iter().map(Name::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;

    fn name(series: &str, pages: Option<&str>) -> Name {
        Name {
            series: series.into(),
            pages: pages.map(str::to_owned),
        }
    }

    #[test]
    fn a_name_may_have_a_size_of_pages() {
        assert_eq!(Name::parse("6.12"), name("6.12", None));
        assert_eq!(Name::parse("all"), name("all", None));
        assert_eq!(Name::parse("6.12-16k"), name("6.12", Some("16k")));
        assert_eq!(Name::parse("all-64k"), name("all", Some("64k")));
        assert_eq!(Name::parse("7.3-rc4"), name("7.3-rc4", None));
        assert_eq!(Name::parse("6.12-k"), name("6.12-k", None));
        assert_eq!(Name::parse("6.12-16k").label("6.12"), "6.12-16k");
    }

    #[test]
    fn the_default_is_the_long_lived_series_and_the_newest() {
        let defaults = names(Series::Matrix, &[]);
        let expected = ["5.10", "6.1", "6.12", "newest"].map(|series| name(series, None));
        assert_eq!(defaults, expected);
        assert_eq!(names(Series::Only("6.12"), &[]), [name("6.12", None)]);
        let given = [name("6.1", None)];
        assert_eq!(names(Series::Matrix, &given), given);
    }

    #[test]
    fn pages_that_no_platform_has_are_named() {
        let platforms: Vec<&'static Platform> = arch::main().map(|arch| arch.platform).collect();
        let asked = [
            name("6.12", Some("16k")),
            name("all", Some("64k")),
            name("6.1", None),
        ];
        let why = without_flavour(&asked, &platforms);
        assert_eq!(why.len(), 1, "{why:?}");
        assert!(why[0].contains("series all-64k isn't available"), "{why:?}");
        assert!(why[0].contains("for amd64 and arm64"), "{why:?}");
        assert_eq!(without_flavour(&asked[..1], &platforms[..1]).len(), 1);
    }

    #[test]
    fn modules_go_with_one_path() {
        let archs: Vec<&'static Arch> = arch::main().collect();
        let modules = Some(Path::new("/"));
        for named in [
            &[][..],
            &["6.12".to_owned()],
            &["/a".to_owned(), "/b".to_owned()],
        ] {
            let error = Named::read(named, modules, &archs).unwrap_err().to_string();
            assert!(error.contains("goes with one --kernel"), "{error}");
        }
    }

    #[test]
    fn a_kernel_by_path_is_for_architectures_that_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vmlinuz");
        let named = [file.display().to_string()];
        let read = |arch: &[&str]| {
            let archs: Vec<String> = arch.iter().map(|&name| name.to_owned()).collect();
            let empty = dir.path().join("empty");
            std::fs::create_dir_all(&empty).unwrap();
            Named::read(&named, Some(&empty), &arch::named(&archs))
        };
        std::fs::write(&file, kernel::image_for_x86("6.12.1-mine")).unwrap();
        let found = read(&["x86_64", "aarch64", "i686"]).unwrap();
        assert_eq!((found.images.len(), found.images[0].deb), (1, "amd64"));
        assert_eq!(found.images[0].kernel.series, "6.12-local");
        let error = read(&["aarch64"]).unwrap_err().to_string();
        assert!(
            error.contains("is a kernel for amd64: with --arch"),
            "{error}"
        );
        std::fs::write(&file, b"a new format").unwrap();
        assert_eq!(read(&["s390x"]).unwrap().images[0].deb, "s390x");
        let error = read(&["x86_64", "aarch64"]).unwrap_err().to_string();
        assert!(
            error.contains("name the architecture with --arch"),
            "{error}"
        );
    }
}
