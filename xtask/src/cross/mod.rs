//! `cargo xtask cross`: a program that uses aio-safe, built on one architecture for another.

mod guest;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use object::read::{Object, ObjectSection};

use crate::{
    apt::Mirror,
    arch::{self, Arch},
    interrupt,
    packages::Install,
    process,
    progress::Progress,
    toolchain::{Linking, Program, Target, Toolchains},
};

/// The program that is built.
const HELLO: Program = Program {
    manifest: None,
    package: "aio-small",
    target: Target::Binary("hello"),
};

/// Builds a small program that uses aio-safe for another architecture.
///
/// It writes and reads a block of a file; its source is aio-safe/examples/hello.rs. The command
/// that builds it is printed as one would type it. A cross compiler that is missing is installed
/// with apt, after printing that command too. Where rustup has no standard library for the
/// architecture, Debian's compiler and standard library are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "ARCH", value_parser = arch::values(), help = arch_help())]
    arch: Vec<String>,

    /// Link the program statically: it then runs without any library of the target's.
    #[arg(long = "static")]
    linked_statically: bool,

    /// Link the program statically, boot it in QEMU, and show what it prints there.
    #[arg(long)]
    run: bool,

    /// The Debian archive to get kernels and standard libraries from, instead of the one in apt's
    /// configuration.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,

    /// Install nothing: when a package is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

fn arch_help() -> String {
    let names: Vec<&str> = others().map(|arch| arch.name).collect();
    format!(
        "The architecture to build for, or all of them. Can be repeated [default: {}]",
        names.join(" and ")
    )
}

/// The main architectures other than this machine's.
fn others() -> impl Iterator<Item = &'static Arch> {
    arch::main().filter(|arch| !arch.is_native())
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let archs: Vec<&'static Arch> = if args.arch.is_empty() {
        others().collect()
    } else {
        arch::named(&args.arch)
    };
    let linking = if args.linked_statically || args.run {
        Linking::Static
    } else {
        Linking::Dynamic
    };
    let install = if args.no_install {
        Install::No
    } else {
        Install::Yes
    };
    let progress = Progress::default();
    let mirror = Mirror::find(args.mirror.as_deref())?;
    let toolchains = Toolchains::get(&archs, &[], &mirror, install, &progress)?;
    let mut built = Vec::new();
    for arch in archs {
        interrupt::check()?;
        let build = toolchains.command(HELLO, arch, linking);
        println!("\n{}:\n{}", arch.name, process::shown_to_type(&build.cargo));
        let [file] = build.run(&progress)?;
        let needs = match (interpreter(&file)?, linking) {
            (None, Linking::Static) => "statically linked".to_owned(),
            (Some(loader), Linking::Dynamic) => format!("dynamically linked, starts {loader}"),
            (None, Linking::Dynamic) => bail!("{} isn't dynamically linked", file.display()),
            (Some(_), Linking::Static) => bail!("{} isn't statically linked", file.display()),
        };
        println!("{}: {needs}", file.display());
        built.push((arch, file));
    }
    if args.run {
        return guest::boot(args, install, built);
    }
    Ok(ExitCode::SUCCESS)
}

/// The program's dynamic linker, which it names when it has one.
fn interpreter(program: &Path) -> Result<Option<String>> {
    let bytes = fs::read(program).with_context(|| format!("can't read {}", program.display()))?;
    let file = object::File::parse(&*bytes)
        .with_context(|| format!("{} isn't a program", program.display()))?;
    let Some(section) = file.section_by_name(".interp") else {
        return Ok(None);
    };
    let name = String::from_utf8_lossy(section.data()?).into_owned();
    Ok(Some(name.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_the_linker_that_starts_it() {
        let this_test = std::env::current_exe().unwrap();
        let linker = interpreter(&this_test).unwrap().unwrap();
        assert!(Path::new(&linker).exists(), "{linker}");
        assert!(interpreter(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn the_default_is_the_other_main_architecture() {
        let names: Vec<&str> = others().map(|arch| arch.name).collect();
        assert!(!names.contains(&std::env::consts::ARCH));
        assert!(!names.is_empty());
    }
}
