//! Building a program for any of the architectures.
//!
//! Where the Rust toolchain in use has the target's standard library (`rustup target add`), only a
//! linker is needed beside it. Elsewhere Debian's compiler builds it, with the standard library of
//! the same version that Debian has for the target.

mod choice;
mod debian;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    apt::Mirror,
    arch::Arch,
    packages::{self, Install, Tool},
    process,
    progress::Progress,
    workspace,
};

const BUILD: Duration = Duration::from_secs(1800);
const ASK: Duration = Duration::from_secs(30);

/// A program of this repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// The manifest of a program that isn't in the workspace, from the workspace's directory.
    pub(crate) manifest: Option<&'static str>,
    pub(crate) package: &'static str,
    pub(crate) target: Target,
}

/// Which of a package's programs it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Binary(&'static str),
    Example(&'static str),
}

impl Target {
    /// cargo's option that picks it, and the option's value.
    fn option(self) -> (&'static str, &'static str) {
        match self {
            Self::Binary(name) => ("--bin", name),
            Self::Example(name) => ("--example", name),
        }
    }

    /// Its path in the directory of a profile.
    fn below(self) -> PathBuf {
        match self {
            Self::Binary(name) => name.into(),
            Self::Example(name) => Path::new("examples").join(name),
        }
    }
}

/// Where a program's C library is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    /// In the program.
    Static,
    /// On the machine that runs it.
    Dynamic,
}

/// A command that builds programs.
#[derive(Debug)]
pub(crate) struct Build<const N: usize> {
    pub(crate) cargo: Command,
    what: String,
    files: [PathBuf; N],
}

impl<const N: usize> Build<N> {
    /// Builds them; returns the files.
    pub(crate) fn run(mut self, progress: &Progress) -> Result<[PathBuf; N]> {
        let _line = progress.line(format!("building {}", self.what));
        process::output(&mut self.cargo, BUILD)
            .with_context(|| format!("can't build {}", self.what))?;
        Ok(self.files)
    }
}

/// What a program is compiled with.
#[derive(Debug, PartialEq, Eq)]
enum Compiler {
    /// The one that cargo uses by default.
    Own,
    /// Debian's, with this system root.
    Debian(PathBuf),
}

/// Compilers for a set of architectures.
#[derive(Debug)]
pub(crate) struct Toolchains {
    /// By the architecture's name.
    compilers: BTreeMap<&'static str, Compiler>,
}

impl Toolchains {
    /// Installs what is missing for building for `archs`, together with `tools`.
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
            if sysroot.display().to_string().contains(char::is_whitespace) {
                bail!(
                    "{}: cargo takes no flags with spaces in them; set XDG_CACHE_HOME to a \
                     directory without spaces",
                    sysroot.display()
                );
            }
            compilers.insert(arch.name, Compiler::Debian(sysroot));
        }
        Ok(Self { compilers })
    }

    /// Builds `program` as it runs in guests, for one of the architectures; returns the file.
    pub(crate) fn build(
        &self,
        program: Program,
        arch: &Arch,
        progress: &Progress,
    ) -> Result<PathBuf> {
        let [file] = self.for_guests([program], arch).run(progress)?;
        Ok(file)
    }

    /// Builds several programs as they run in guests, by one command. They have the same manifest.
    ///
    /// They aren't optimised, because their many dependencies would take twice as long to compile.
    pub(crate) fn build_quickly<const N: usize>(
        &self,
        programs: [Program; N],
        arch: &Arch,
        progress: &Progress,
    ) -> Result<[PathBuf; N]> {
        let mut build = self.for_guests(programs, arch);
        build.cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        build.run(progress)
    }

    fn for_guests<const N: usize>(&self, programs: [Program; N], arch: &Arch) -> Build<N> {
        let mut flags = Vec::new();
        if arch.is_main() {
            // Each case is a process of its own, and most of what starting one costs in an emulated
            // machine is relocating itself. The others boot too few guests for it to matter.
            flags.push("-Crelocation-model=static");
        }
        let mut build = self.with_flags(programs, arch, Linking::Static, "guests", &flags);
        build
            .cargo
            .arg("--quiet")
            // The options of a release, with assertions.
            .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
            .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
            // The guest unpacks them into its memory, so they should be small.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
        build
    }

    /// The command that builds `program` for one of the architectures, as a user would type it.
    pub(crate) fn command(&self, program: Program, arch: &Arch, linking: Linking) -> Build<1> {
        self.with_flags([program], arch, linking, "cross", &[])
    }

    fn with_flags<const N: usize>(
        &self,
        programs: [Program; N],
        arch: &Arch,
        linking: Linking,
        dir: &str,
        more_flags: &[&str],
    ) -> Build<N> {
        // Not the workspace's own directory: a cargo that started us may have locked it. Each
        // compiler has its own, as neither can use what the other built.
        let compiler = &self.compilers[arch.name];
        let target_dir = workspace::target_dir().join(match compiler {
            Compiler::Own => dir.to_owned(),
            Compiler::Debian(_) => format!("{dir}-debian"),
        });
        let release = target_dir.join(arch.triple).join("release");
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--release"]);
        let manifest = programs.first().and_then(|program| program.manifest);
        cargo.args(manifest.map(|file| format!("--manifest-path={file}")));
        for program in &programs {
            let (option, name) = program.target.option();
            cargo.args(["--package", program.package, option, name]);
        }
        cargo.env("CARGO_TARGET_DIR", &target_dir);
        let mut flags = more_flags.join(" ");
        if linking == Linking::Static {
            flags += " -Ctarget-feature=+crt-static";
        }
        self.aim(&mut cargo, arch, &flags);
        let names = programs.map(|program| program.target.option().1);
        Build {
            cargo,
            what: format!("{} for {}", names.join(", "), arch.name),
            files: programs.map(|program| release.join(program.target.below())),
        }
    }
}

impl Toolchains {
    /// Makes a command of cargo compile for one of the architectures, with these flags.
    pub(crate) fn aim(&self, cargo: &mut Command, arch: &Arch, flags: &str) {
        cargo
            .args(["--target", arch.triple])
            // Either would replace the flags for this target.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        let mut flags = flags.to_owned();
        if let Compiler::Debian(sysroot) = &self.compilers[arch.name] {
            cargo.env("RUSTC", debian::RUSTC.program);
            flags += &format!(" --sysroot={}", sysroot.display());
        }
        if !arch.is_native() {
            cargo.env(variable(arch, "LINKER"), arch.linker.program);
        }
        if !flags.is_empty() {
            cargo.env(variable(arch, "RUSTFLAGS"), flags.trim_start());
        }
    }
}

/// cargo's environment variable for a setting of one target.
fn variable(arch: &Arch, setting: &str) -> String {
    let triple = arch.triple.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{triple}_{setting}")
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
