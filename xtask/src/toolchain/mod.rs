//! Building a program for any of the architectures, statically linked.
//!
//! Where the Rust toolchain in use has the target's standard library (`rustup target add`), only a
//! linker is needed beside it. Elsewhere Debian's compiler builds it, with the standard library of
//! the same version that Debian has for the target.

mod choice;
mod debian;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::apt::Mirror;
use crate::arch::Arch;
use crate::packages::{self, Install, Tool};
use crate::progress::Progress;
use crate::{process, workspace};

const BUILD: Duration = Duration::from_secs(1800);
const ASK: Duration = Duration::from_secs(30);

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

/// What builds programs for a set of architectures.
#[derive(Debug)]
pub(crate) struct Toolchains {
    /// By the architecture's name.
    compilers: BTreeMap<&'static str, Compiler>,
}

impl Toolchains {
    /// Gets what is missing for building for `archs`, and installs `tools` in the same go.
    pub(crate) fn get(
        archs: &[&'static Arch],
        tools: &[Tool],
        mirror: &Mirror,
        install: Install,
        progress: &Progress,
    ) -> Result<Self> {
        let mut tools = tools.to_vec();
        for arch in archs.iter().filter(|arch| !arch.is_native()) {
            tools.extend([arch.linker, arch.libc]);
        }
        let own = own_sysroot()?;
        let lacks = |arch: &&&Arch| !has_target(&own, arch.triple);
        let by_debian: Vec<&'static Arch> = archs.iter().filter(lacks).copied().collect();
        let mut compiler = Vec::new();
        if !by_debian.is_empty() {
            compiler = debian::compiler_for(&by_debian, mirror, install, progress)?;
            tools.push(debian::RUSTC);
        }
        packages::ensure_with(&tools, &compiler, install, progress)?;
        let mut compilers = BTreeMap::new();
        for arch in archs {
            compilers.insert(arch.name, Compiler::Own);
        }
        for arch in by_debian {
            let sysroot = debian::sysroot(arch, mirror, progress)?;
            compilers.insert(arch.name, Compiler::Debian(sysroot));
        }
        Ok(Self { compilers })
    }

    /// Builds `program` for one of the architectures; returns the file.
    pub(crate) fn build(
        &self,
        program: Program,
        arch: &Arch,
        progress: &Progress,
    ) -> Result<PathBuf> {
        let _line = progress.line(format!("building {} for {}", program.binary, arch.name));
        compile(program, arch, &self.compilers[arch.name])
            .with_context(|| format!("can't build {} for {}", program.binary, arch.name))
    }
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
    if arch.is_main() {
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
        cargo.env("RUSTC", debian::RUSTC.program);
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

#[cfg(test)]
mod tests {
    use super::*;

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
