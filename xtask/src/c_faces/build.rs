//! Builds the libraries.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::symbols;
use crate::{arch::Arch, asan, process, progress::Progress, toolchain::Toolchains, workspace};

const BUILD: Duration = Duration::from_secs(300);

/// The name that programs look for.
pub(super) const SONAME: &str = "libaio.so.1";
/// The name that programs look for which were linked on Debian 13 or later.
pub(super) const SONAME_SINCE_DEBIAN_13: &str = "libaio.so.1t64";

/// What was built.
pub(super) struct Libraries {
    pub(super) shared: PathBuf,
    pub(super) archive: PathBuf,
}

/// The directory with the crate.
pub(super) fn face() -> PathBuf {
    workspace::root().join("aio-libaio")
}

/// The directory that the libraries are built in.
pub(super) fn target_dir() -> PathBuf {
    workspace::target_dir().join("c-faces")
}

/// What the libraries are built for, and with what.
#[derive(Debug, Clone, Copy)]
pub(super) enum For<'a> {
    /// This machine.
    Here,
    Other(&'a Toolchains, &'a Arch),
}

impl For<'_> {
    /// The C compiler.
    pub(super) fn cc(self) -> Command {
        Command::new(match self {
            Self::Other(_, arch) if !arch.is_native() => arch.linker.program,
            _ => "cc",
        })
    }

    /// The directory that the libraries are built in.
    pub(super) fn dir(self) -> PathBuf {
        match self {
            Self::Here => target_dir(),
            // Not the name alone: a program that looks for a library in a directory also looks
            // below it, in a directory with the name of the processor.
            Self::Other(_, arch) => target_dir().join(format!("for-{}", arch.name)),
        }
    }
}

/// Builds both libraries.
pub(super) fn build(target: For<'_>, progress: &Progress) -> Result<Libraries> {
    let _line = progress.line(match target {
        For::Here => "building libaio".to_owned(),
        For::Other(_, arch) => format!("building libaio for {}", arch.name),
    });
    let dir = target.dir();
    let objects = |library| objects(library, target);
    let archive = dir.join("libaio.a");
    fs::copy(objects("static")?, &archive)
        .with_context(|| format!("can't write {}", archive.display()))?;
    let shared = dir.join(SONAME);
    link(&objects("shared")?, &shared, target)?;
    let other_name = dir.join(SONAME_SINCE_DEBIAN_13);
    if !other_name.exists() {
        symlink(SONAME, &other_name)
            .with_context(|| format!("can't make {}", other_name.display()))?;
    }
    Ok(Libraries { shared, archive })
}

/// Builds the archive with the address sanitizer, if a toolchain has that.
pub(super) fn with_asan(progress: &Progress) -> Result<Option<PathBuf>> {
    let Some((toolchain, target)) = asan::toolchain()? else {
        return Ok(None);
    };
    let _line = progress.line("building libaio with the address sanitizer");
    let dir = target_dir().join("asan");
    let mut cargo = asan::on(&toolchain, "cargo");
    crate_to_build(&mut cargo, &dir);
    cargo
        // Named, so that build scripts are built without the sanitizer.
        .args(["--target", &target])
        .env("RUSTFLAGS", format!("{} {}", asan::FLAGS, flags("static")));
    process::run(&mut cargo, BUILD)?;
    Ok(Some(dir.join(target).join("release/libaio_libaio.a")))
}

/// Compiles the crate for one of the libraries. Returns an archive of objects.
fn objects(library: &str, target: For<'_>) -> Result<PathBuf> {
    let mut dir = target.dir().join(library);
    let mut cargo = workspace::cargo();
    crate_to_build(&mut cargo, &dir);
    let flags = flags(library);
    match target {
        For::Here => {
            cargo.env("RUSTFLAGS", flags);
        }
        For::Other(toolchains, arch) => {
            toolchains.aim(&mut cargo, arch, &flags);
            dir = dir.join(arch.triple);
        }
    }
    process::run(&mut cargo, BUILD)?;
    Ok(dir.join("release").join("libaio_libaio.a"))
}

fn crate_to_build(cargo: &mut Command, dir: &Path) {
    cargo
        .args(["rustc", "--quiet", "--release", "--package", "aio-libaio"])
        .args(["--lib", "--crate-type", "staticlib"])
        .env("CARGO_TARGET_DIR", dir)
        // The assembler takes versions of symbols that are in the same object: one unit.
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
}

fn flags(library: &str) -> String {
    format!(
        "--cfg aio_libaio --cfg aio_libaio=\"{library}\" -C relocation-model=pic \
         -C embed-bitcode=no"
    )
}

/// Links the shared library. The objects hold the standard library's core as well, of which nothing
/// is needed.
fn link(objects: &Path, shared: &Path, target: For<'_>) -> Result<()> {
    let mut cc = target.cc();
    cc.arg("-shared").arg("-o").arg(shared);
    cc.arg(format!("-Wl,-soname,{SONAME}"));
    cc.arg(format!(
        "-Wl,--version-script,{}",
        face().join("libaio.map").display()
    ));
    // An archive's object is linked if something asks for a symbol of it.
    for symbol in symbols::inside() {
        cc.arg(format!("-Wl,-u,{symbol}"));
    }
    cc.arg(objects);
    cc.args(["-Wl,--gc-sections", "-Wl,-z,now", "-Wl,-z,relro"])
        .args(["-Wl,-z,defs", "-Wl,-z,noexecstack", "-Wl,--strip-all"]);
    process::run(&mut cc, BUILD)
}
