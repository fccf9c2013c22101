//! The newest headers of a released kernel in the archive. One package has the headers of all
//! architectures.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};
use deb_version::compare_versions;

use crate::{
    apt::{Mirror, Root},
    arch::{self, Arch},
    lock::Lock,
    process,
    progress::Progress,
    workspace,
};

const PACKAGE: &str = "linux-libc-dev";
/// The architecture in whose index the package is looked up. `qemu-test` uses the same index.
const INDEX: &str = "amd64";

/// The include directories, in the cache.
pub(crate) fn include(arch: &Arch, mirror: &Mirror, progress: &Progress) -> Result<Vec<PathBuf>> {
    let cache = workspace::cache_dir()?;
    let dir = cache.join("apt").join(INDEX);
    let _lock = Lock::take(&dir.join("lock"), progress)?;
    let root = Root::open(&dir, mirror, arch::suites(INDEX), INDEX)?;
    root.refresh(Root::DAY, progress)?;
    let stanzas = root.apt().show(&[PACKAGE.to_owned()])?;
    let newest = stanzas
        .iter()
        .map(|stanza| stanza.field("Version"))
        .filter(|version| !version.contains("~rc"))
        .max_by(|a, b| compare_versions(a, b))
        .with_context(|| format!("the archive has no {PACKAGE}"))?;
    let all = cache.join("headers");
    let unpacked = all.join(newest);
    if !unpacked.exists() {
        let _line = progress.line(format!("headers of Linux {newest}"));
        fs::create_dir_all(&all).with_context(|| format!("can't make {}", all.display()))?;
        let work = tempfile::Builder::new().prefix(".new-").tempdir_in(&all)?;
        let packages = work.path().join("packages");
        fs::create_dir(&packages)?;
        for package in root.download(&[(PACKAGE.to_owned(), newest.to_owned())], &packages)? {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract")
                .arg(package)
                .arg(work.path().join("tree"));
            process::output(&mut dpkg, Duration::from_secs(300))?;
        }
        // A rename, so that the directory is whole even if this process is killed now.
        fs::rename(work.path().join("tree"), &unpacked)?;
    }
    let include = unpacked.join("usr/include");
    Ok(vec![include.join(multiarch(arch)), include])
}

/// Debian's name of the directory with the headers that differ by architecture.
fn multiarch(arch: &Arch) -> &'static str {
    match arch.linker.program.trim_end_matches("-gcc") {
        "i686-linux-gnu" => "i386-linux-gnu",
        other => other,
    }
}
