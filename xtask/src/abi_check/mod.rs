//! `cargo xtask abi-check`: the Rust side of the kernel's interface against the C headers, for each
//! target.
//!
//! Both sides are tables of names and values, which are compiled for the target. They are read from
//! the compilers' output, so nothing runs. Each name is an expression in C. The C side is generated
//! from the names of the Rust side and from every constant that the headers define.

mod compare;
mod headers;
mod newest;
#[cfg(test)]
mod planted;
mod stubs;
mod table;

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    apt::Mirror,
    arch::{self, Arch},
    interrupt,
    packages::{Install, Tool},
    progress::Progress,
    toolchain::{Program, Target, Toolchains},
};
use headers::Headers;
use stubs::Stub;

/// The Rust side.
const FACTS: Program = Program {
    manifest: None,
    package: "abi-facts",
    target: Target::Binary("abi-facts"),
};

/// The kernel's headers for the host.
const NATIVE_HEADERS: Tool = Tool {
    program: "/usr/include/linux/aio_abi.h",
    packages: &["linux-libc-dev"],
};

/// Compares aio-abi and aio-sys with the kernel's C headers, and checks the calls' instructions.
///
/// For each target it compares every constant, size, alignment, offset and system call number, and
/// checks that Rust has every constant of the headers. For the architectures whose instructions it
/// can read, it also checks that each call is nothing but its instruction, the loads of its
/// arguments and the check of its result: no call, no use of the stack.
///
/// Installs missing cross compilers with apt, after printing the command.
///
/// Exits with 1 when there is a difference.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The target to check, or all of them; repeatable [default: all].
    #[arg(long = "target", value_name = "TARGET", value_parser = arch::values())]
    targets: Vec<String>,

    /// Compare with the newest headers of the archive as well. The compiler's own headers may be
    /// too old for some constants.
    #[arg(long)]
    newest: bool,

    /// Print the instructions of each call.
    #[arg(long)]
    stubs: bool,

    /// The Debian archive to get standard libraries and headers from, instead of the one in apt's
    /// configuration.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,

    /// Install nothing: when a package is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    let mirror = Mirror::find(args.mirror.as_deref())?;
    let install = if args.no_install {
        Install::No
    } else {
        Install::Yes
    };
    let asked =
        |arch: &&Arch| args.targets.is_empty() || args.targets.iter().any(|name| name == arch.name);
    let archs: Vec<&'static Arch> = arch::all().iter().filter(asked).collect();
    let tools = archs.iter().filter(|arch| arch.is_native());
    let tools: Vec<Tool> = tools.map(|_| NATIVE_HEADERS).collect();
    let toolchains = Toolchains::get(&archs, &tools, &mirror, install, &progress)?;
    let mut differences = 0;
    for arch in &archs {
        differences += check(arch, args, &toolchains, &mirror, &progress)?;
    }
    let s = if archs.len() == 1 { "" } else { "s" };
    println!("{} target{s}: {}", archs.len(), compare::count(differences));
    Ok(if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks one target, prints what came out, and returns how many differences there are.
fn check(
    arch: &Arch,
    args: &Args,
    toolchains: &Toolchains,
    mirror: &Mirror,
    progress: &Progress,
) -> Result<usize> {
    let compiler = if arch.is_native() {
        "cc"
    } else {
        arch.linker.program
    };
    let program = toolchains.build(FACTS, arch, progress)?;
    let rust = table::read(&program)?;
    let mut includes = vec![Vec::new()];
    if args.newest {
        includes.push(newest::include(arch, mirror, progress)?);
    }
    let mut differences = 0;
    for include in &includes {
        let headers = Headers::of(compiler, include)?;
        let c = headers.table(rust.facts.keys())?;
        let comparison = compare::compare(&rust, &c, &headers);
        println!("{:12} {comparison}", arch.name);
        differences += comparison.differences.len();
    }
    let stubs = stubs::of(arch, &program)?;
    if !stubs.is_empty() {
        let faults: Vec<_> = stubs.iter().flat_map(Stub::faults).collect();
        let summary = match faults.len() {
            0 => "nothing but the call",
            _ => "not as they should be",
        };
        println!(
            "{:12} instructions of {} calls: {summary}",
            arch.name,
            stubs.len()
        );
        faults.iter().for_each(|fault| println!("    {fault}"));
        differences += faults.len();
    }
    if args.stubs {
        stubs.iter().for_each(|stub| println!("{stub}"));
    }
    Ok(differences)
}
