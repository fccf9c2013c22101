//! Building a static program for any of the architectures.
//!
//! Where the Rust toolchain in use has the target's standard library (`rustup target add`), that is
//! all it takes. Elsewhere Debian's compiler does it, with the standard library of the same version
//! that Debian has for the target, unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::apt::{Mirror, Root};
use crate::arch::{self, Arch, Series};
use crate::lock::Lock;
use crate::packages::{self, Install, Tool};
use crate::progress::Progress;
use crate::{process, workspace};

const BUILD: Duration = Duration::from_secs(1800);
const ASK: Duration = Duration::from_secs(30);
const UNPACK: Duration = Duration::from_secs(300);

/// Debian's compiler in its newest packaging; any other that is installed serves as well.
const DEBIAN_RUSTC: Tool = Tool {
    program: "/usr/bin/rustc",
    packages: &["rustc-web"],
};

/// A program of this repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// The manifest that cargo is to start from, in the workspace's directory.
    pub(crate) manifest: &'static str,
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
}

/// What a program is compiled with.
#[derive(Debug, PartialEq, Eq)]
enum Compiler {
    /// The one that cargo uses anyway.
    Own,
    /// Debian's, with this system root.
    Debian(PathBuf),
}

/// What building for an architecture takes beside cargo.
pub(crate) fn tools(arch: &Arch) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    if !arch.is_native() {
        tools.extend([arch.linker, arch.libc]);
    }
    if !has_target(&own_sysroot()?, arch.triple) {
        tools.push(DEBIAN_RUSTC);
    }
    Ok(tools)
}

/// Builds `program` for `arch`, after getting what that takes; returns the file.
pub(crate) fn build(
    program: Program,
    arch: &Arch,
    mirror: &Mirror,
    install: Install,
    progress: &Progress,
) -> Result<PathBuf> {
    packages::ensure(&tools(arch)?, install, progress)?;
    let compiler = if has_target(&own_sysroot()?, arch.triple) {
        Compiler::Own
    } else {
        Compiler::Debian(debian_sysroot(arch, mirror, progress)?)
    };
    let _line = progress.line(format!("building {} for {}", program.binary, arch.name));
    compile(program, arch, &compiler)
        .with_context(|| format!("can't build {} for {}", program.binary, arch.name))
}

fn compile(program: Program, arch: &Arch, compiler: &Compiler) -> Result<PathBuf> {
    // Apart from the workspace's own, which a cargo that started us may hold the lock of; and one
    // for each compiler, as neither can use what the other made.
    let (dir, sysroot) = match compiler {
        Compiler::Own => ("guests", None),
        Compiler::Debian(sysroot) => ("guests-debian", Some(sysroot)),
    };
    let target_dir = workspace::target_dir().join(dir);
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    if arch.series == Series::Matrix {
        // Each case is a process of its own, and relocating itself is most of what starting one costs
        // in an emulated machine. The others boot too few guests for it to matter.
        flags.push("-Crelocation-model=static".to_owned());
    }
    let mut cargo = workspace::cargo();
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--manifest-path",
            program.manifest,
            "--package",
            program.package,
        ])
        .current_dir(workspace::root())
        .args(["--bin", program.binary, "--target", arch.triple])
        .env("CARGO_TARGET_DIR", &target_dir)
        // As it is shipped, but with the assertions that only tests have.
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
        // It is unpacked into the guest's memory.
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .env_remove("RUSTFLAGS");
    if let Some(sysroot) = sysroot {
        cargo.env("RUSTC", DEBIAN_RUSTC.program);
        flags.push(format!("--sysroot={}", sysroot.display()));
    }
    if !arch.is_native() {
        flags.push(format!("-Clinker={}", arch.linker.program));
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    process::output(&mut cargo, BUILD)?;
    Ok(target_dir
        .join(arch.triple)
        .join("release")
        .join(program.binary))
}

/// The system root of the compiler that cargo uses.
fn own_sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--print", "sysroot"])
        .current_dir(workspace::root());
    Ok(process::output(&mut command, ASK)?.trim().into())
}

fn has_target(sysroot: &Path, triple: &str) -> bool {
    let lib = sysroot.join("lib/rustlib").join(triple).join("lib");
    let entries = fs::read_dir(lib)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().starts_with("libstd-"))
}

/// A system root for Debian's compiler with the target's standard library, from the cache or the
/// archive.
fn debian_sysroot(arch: &Arch, mirror: &Mirror, progress: &Progress) -> Result<PathBuf> {
    let (package, version) = debian_rustc()?;
    let cache = workspace::cache_dir()?;
    let sysroots = cache.join("sysroots");
    let sysroot = sysroots.join(format!("{version}-{}", arch.deb));
    if has_target(&sysroot, arch.triple) {
        return Ok(sysroot);
    }
    let dir = cache.join("apt").join(arch.deb);
    let _lock = Lock::take(&dir.join("lock"), progress)?;
    if has_target(&sysroot, arch.triple) {
        return Ok(sysroot);
    }
    fs::create_dir_all(&sysroots).with_context(|| format!("can't make {}", sysroots.display()))?;
    let root = Root::open(&dir, mirror, arch::suites(arch.deb), arch.deb)?;
    root.refresh(progress)?;
    // rustc-web goes with libstd-rust-web-dev, rustc with libstd-rust-dev.
    let library = format!("libstd-rust{}-dev", package.trim_start_matches("rustc"));
    let stanzas = root
        .apt()
        .show(std::slice::from_ref(&library))
        .unwrap_or_default();
    let versions: Vec<&str> = stanzas
        .iter()
        .map(|stanza| stanza.field("Version"))
        .collect();
    let Some(chosen) = versions.iter().find(|found| upstream(found) == version) else {
        bail!(
            "Debian's compiler ({package}) is {version}, but the archive has {library} for {} only \
             in: {}; type: rustup target add {}",
            arch.deb,
            versions.join(", "),
            arch.triple
        );
    };
    let _line = progress.line(format!("standard library for {}", arch.name));
    let work = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&sysroots)?;
    let debs = work.path().join("packages");
    fs::create_dir(&debs)?;
    for deb in root.download(&[(library, (*chosen).to_owned())], &debs)? {
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.arg("--extract").arg(deb).arg(work.path().join("tree"));
        process::output(&mut dpkg, UNPACK)?;
    }
    // Whole or not at all.
    fs::rename(work.path().join("tree/usr"), &sysroot)?;
    Ok(sysroot)
}

/// The package that Debian's compiler is in, and its version.
fn debian_rustc() -> Result<(String, String)> {
    let mut owner = Command::new("dpkg-query");
    owner.args(["--search", DEBIAN_RUSTC.program]);
    let text = process::output(&mut owner, ASK)?;
    let package = text.split([':', ',']).next().unwrap_or_default().to_owned();
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", &package]);
    let version = upstream(&process::output(&mut query, ASK)?).to_owned();
    Ok((package, version))
}

/// `1.96.0` of `1.96.0+dfsg1-1~deb12u2`.
fn upstream(version: &str) -> &str {
    version.split(['+', '-', '~']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compiler_and_library_are_compared_without_debians_part() {
        assert_eq!(
            upstream("1.96.0+dfsg1-1~deb12u2"),
            upstream("1.96.0+dfsg1-1~deb13u1+b1")
        );
        assert_ne!(upstream("1.85.0+dfsg3-1"), upstream("1.96.0+dfsg1-1"));
    }

    #[test]
    fn the_toolchain_has_the_host_and_not_the_moon() {
        let sysroot = own_sysroot().unwrap();
        assert!(has_target(
            &sysroot,
            &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
        ));
        assert!(!has_target(&sysroot, "lunar-unknown-none"));
    }
}
