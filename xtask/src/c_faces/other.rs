//! The libraries for other architectures, compared with Debian's packages for them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;
use deb_version::compare_versions;

use super::{
    build::{self, For, target_dir},
    symbols, types,
};
use crate::{
    apt::{Mirror, Root},
    arch::{self, Arch},
    interrupt,
    lock::Lock,
    packages::Install,
    process,
    progress::Progress,
    toolchain::Toolchains,
    workspace,
};

/// Packages with the original: its header, and the library under both names that it had.
const HEADER: &str = "libaio-dev";
const LIBRARIES: [&str; 2] = ["libaio1", "libaio1t64"];

const UNPACK: Duration = Duration::from_secs(60);

/// The architectures that the libraries are built for: those with 64 bits.
fn all() -> impl Iterator<Item = &'static Arch> {
    arch::all()
        .iter()
        .filter(|arch| !["i686", "armhf"].contains(&arch.name))
}

pub(super) fn values() -> PossibleValuesParser {
    all().map(|arch| arch.name).collect::<Vec<_>>().into()
}

/// Builds and compares. Returns the number of differences.
pub(super) fn run(
    names: &[String],
    mirror: Option<&str>,
    install: Install,
    progress: &Progress,
) -> Result<usize> {
    let archs: Vec<&'static Arch> = all()
        .filter(|arch| names.iter().any(|name| name == arch.name))
        .collect();
    let mirror = Mirror::find(mirror)?;
    let toolchains = Toolchains::get(&archs, &[], &mirror, install, progress)?;
    let mut differences = 0;
    for arch in archs {
        interrupt::check()?;
        println!("\n{}:", arch.name);
        let target = For::Other(&toolchains, arch);
        let libraries = build::build(target, progress)?;
        let debian = Originals::get(arch, &target.dir().join("debian"), &mirror, progress)?;
        differences += symbols::check(&libraries.shared, &debian.libraries)?;
        differences += types::check(target, &debian.include, progress)?;
    }
    Ok(differences)
}

/// Debian's packages, unpacked.
struct Originals {
    include: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Originals {
    /// From an earlier run in `dir`, or from the archive.
    fn get(arch: &Arch, dir: &Path, mirror: &Mirror, progress: &Progress) -> Result<Self> {
        let dirs = [&[HEADER], LIBRARIES.as_slice()].concat().into_iter();
        let dirs: Vec<PathBuf> = dirs.map(|name| dir.join(name)).collect();
        if !dirs[0].exists() {
            download(arch, dir, mirror, progress)?;
        }
        let libraries = dirs[1..].iter().filter_map(|dir| library(dir)).collect();
        Ok(Self {
            include: dirs[0].join("usr/include"),
            libraries,
        })
    }
}

/// The library in an unpacked package. Names with one number are links.
fn library(package: &Path) -> Option<PathBuf> {
    let roots = ["lib", "usr/lib"].map(|dir| package.join(dir));
    let dirs = roots
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten();
    let files = dirs
        .filter_map(|dir| fs::read_dir(dir.ok()?.path()).ok())
        .flatten();
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libaio.so.1") && !file.is_symlink()
        })
}

/// Downloads the packages, each in the newest version, and unpacks them.
fn download(arch: &Arch, dir: &Path, mirror: &Mirror, progress: &Progress) -> Result<()> {
    let cache = workspace::cache_dir()?.join("apt").join(arch.deb);
    let _lock = Lock::take(&cache.join("lock"), progress)?;
    let root = Root::open(&cache, mirror, arch::suites(arch.deb), arch.deb)?;
    root.refresh(Root::DAY, progress)?;
    let _line = progress.line(format!("libaio's packages for {}", arch.deb));
    let work = tempfile::tempdir_in(target_dir())?;
    let mut found = 0;
    for name in [&[HEADER], LIBRARIES.as_slice()].concat() {
        // A suite may not have the name.
        let stanzas = root.apt().show(&[name.to_owned()]).unwrap_or_default();
        let versions = stanzas.iter().map(|stanza| stanza.field("Version"));
        let Some(newest) = versions.max_by(|a, b| compare_versions(a, b)) else {
            continue;
        };
        let (debs, tree) = (work.path().join("debs"), work.path().join(name));
        fs::create_dir(&debs)?;
        for deb in root.download(&[(name.to_owned(), newest.to_owned())], &debs)? {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").arg(deb).arg(&tree);
            process::output(&mut dpkg, UNPACK)?;
        }
        fs::remove_dir_all(&debs)?;
        found += usize::from(library(&tree).is_some());
    }
    ensure!(
        found > 0 && work.path().join(HEADER).exists(),
        "the archive has no libaio for {}",
        arch.deb
    );
    // A rename, so that the directory is whole even if this process is killed now.
    fs::rename(work.keep(), dir).with_context(|| format!("can't make {}", dir.display()))
}
