//! Debian's compiler, and standard libraries for other architectures. The compiler is installed on
//! the system. Each library is unpacked into a directory of the cache, which the compiler then gets
//! as its system root.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    ASK,
    choice::{Choice, Facts, Package},
    has_target,
};
use crate::{
    apt::{Apt, Mirror, Root},
    arch::{self, Arch},
    lock::Lock,
    packages::{self, Install, Tool},
    process,
    progress::Progress,
    workspace,
};

const UNPACK: Duration = Duration::from_secs(300);
/// How old an index may be when the versions in it don't fit: a newer one may have others.
const SECOND_LOOK: Duration = Duration::from_secs(300);

/// The compiler. rustc-web is the newest in a Debian release, and rustc in sid.
pub(super) const RUSTC: Tool = Tool {
    program: "/usr/bin/rustc",
    packages: &["rustc-web", "rustc"],
};

/// The packages to install so that there is a compiler that takes the standard libraries of all
/// these architectures, as `NAME=VERSION`. Empty if the installed compiler takes them.
pub(super) fn compiler_for(
    archs: &[&'static Arch],
    mirror: &Mirror,
    install: Install,
    progress: &Progress,
) -> Result<Vec<String>> {
    let installed = installed()?;
    if let Some(compiler) = &installed {
        let mut cached = true;
        for arch in archs {
            cached &= has_target(&sysroot_dir(compiler, arch)?, arch.triple);
        }
        if cached {
            return Ok(Vec::new());
        }
    }
    let forbidden = packages::forbidden(install);
    if installed.is_none() && forbidden.is_some() {
        // Which version it would be is known only with new lists.
        return Ok(Vec::new());
    }
    let mut facts = Facts {
        installed,
        offered: Vec::new(),
        libraries: libraries(archs, mirror, Root::DAY, progress)?,
    };
    if matches!(facts.choose(), Ok(Choice::Installed)) {
        return Ok(Vec::new());
    }
    if let Some(why) = forbidden {
        bail!(
            "{}; it can't be upgraded, as {why}; type: {}",
            facts.why_not_installed(),
            packages::by_hand(&[RUSTC.packages[0]])
        );
    }
    packages::refresh(progress);
    let apt = Apt::default();
    for name in RUSTC.packages {
        facts.offered.extend(versions(&apt, name));
    }
    let choice = match facts.choose() {
        Ok(choice) => choice,
        Err(_) => {
            facts.libraries = libraries(archs, mirror, SECOND_LOOK, progress)?;
            facts.choose()?
        }
    };
    Ok(match choice {
        Choice::Installed => Vec::new(),
        // The library for this machine is named too: otherwise apt installs a dependency only in
        // the version that it prefers.
        Choice::Install(package) => [package.name.clone(), package.library()]
            .map(|name| format!("{name}={}", package.version))
            .into(),
    })
}

/// The standard libraries that the archive has for each architecture, in an index that isn't older
/// than `age`.
fn libraries(
    archs: &[&'static Arch],
    mirror: &Mirror,
    age: Duration,
    progress: &Progress,
) -> Result<Vec<(&'static str, Vec<Package>)>> {
    let names = RUSTC.packages.iter().map(|&name| library_of(name));
    let names: Vec<String> = names.collect();
    archs
        .iter()
        .map(|arch| {
            let (root, _lock) = open(arch, mirror, age, progress)?;
            let found = names.iter().flat_map(|name| versions(root.apt(), name));
            Ok((arch.deb, found.collect()))
        })
        .collect()
}

fn library_of(compiler: &str) -> String {
    let package = Package {
        name: compiler.to_owned(),
        version: String::new(),
    };
    package.library()
}

/// All versions of a package; none when the index doesn't have it.
fn versions(apt: &Apt, name: &str) -> Vec<Package> {
    let stanzas = apt.show(&[name.to_owned()]).unwrap_or_default();
    let package = |version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    stanzas
        .iter()
        .map(|stanza| package(stanza.field("Version")))
        .collect()
}

/// The private root of an architecture, locked.
fn open(arch: &Arch, mirror: &Mirror, age: Duration, progress: &Progress) -> Result<(Root, Lock)> {
    let dir = workspace::cache_dir()?.join("apt").join(arch.deb);
    let lock = Lock::take(&dir.join("lock"), progress)?;
    let root = Root::open(&dir, mirror, arch::suites(arch.deb), arch.deb)?;
    root.refresh(age, progress)?;
    Ok((root, lock))
}

/// The package that the installed compiler is in.
fn installed() -> Result<Option<Package>> {
    if packages::find(RUSTC.program).is_none() {
        return Ok(None);
    }
    let mut owner = Command::new("dpkg-query");
    owner.args(["--search", RUSTC.program]);
    let text = process::output(&mut owner, ASK)?;
    let name = text.split([':', ',']).next().unwrap_or_default().to_owned();
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", &name]);
    let version = process::output(&mut query, ASK)?.trim().to_owned();
    Ok(Some(Package { name, version }))
}

/// Where the standard library for an architecture is in the cache.
fn sysroot_dir(compiler: &Package, arch: &Arch) -> Result<PathBuf> {
    let name = format!("{}-{}", compiler.upstream(), arch.deb);
    Ok(workspace::cache_dir()?.join("sysroots").join(name))
}

/// A system root for the installed compiler with the target's standard library, from the cache or
/// the archive.
pub(super) fn sysroot(arch: &Arch, mirror: &Mirror, progress: &Progress) -> Result<PathBuf> {
    let compiler = installed()?.context("Debian's Rust compiler isn't installed")?;
    let sysroot = sysroot_dir(&compiler, arch)?;
    if has_target(&sysroot, arch.triple) {
        return Ok(sysroot);
    }
    let (root, _lock) = open(arch, mirror, Root::DAY, progress)?;
    if has_target(&sysroot, arch.triple) {
        // Another run has put it there while this one waited for the lock.
        return Ok(sysroot);
    }
    let found = versions(root.apt(), &compiler.library());
    let Some(library) = found.iter().find(|library| compiler.takes(library)) else {
        bail!(
            "the archive has no {} {} for {}",
            compiler.library(),
            compiler.upstream(),
            arch.deb
        );
    };
    let _line = progress.line(format!("standard library for {}", arch.name));
    let sysroots = sysroot.parent().context("the cache has no directory")?;
    fs::create_dir_all(sysroots).with_context(|| format!("can't make {}", sysroots.display()))?;
    let work = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(sysroots)?;
    let debs = work.path().join("packages");
    fs::create_dir(&debs)?;
    let wanted = [(library.name.clone(), library.version.clone())];
    for deb in root.download(&wanted, &debs)? {
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.arg("--extract").arg(deb).arg(work.path().join("tree"));
        process::output(&mut dpkg, UNPACK)?;
    }
    // A rename, so that the directory is whole even if this process is killed now.
    fs::rename(work.path().join("tree/usr"), &sysroot)?;
    Ok(sysroot)
}
