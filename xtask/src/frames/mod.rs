//! `cargo xtask frames`: whether the shortest loops hold the system call of `io_submit` themselves.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::{
    apt::Mirror,
    arch::{self, Arch},
    interrupt,
    packages::Install,
    process,
    progress::Progress,
    toolchain::{Linking, Program, Target, Toolchains},
};

/// The program with the loops.
const LOOPS: Program = Program {
    manifest: None,
    package: "aio-small",
    target: Target::Binary("loops"),
};

/// A loop, and the end of its function's mangled name before the hash.
const FUNCTIONS: [(&str, &str); 4] = [
    ("single", "5loops6single"),
    ("future", "5loops6future28_$u7b$$u7b$closure$u7d$$u7d$"),
    ("batch", "5loops5batch"),
    ("lane", "5loops4lane"),
];

/// Looks whether a return follows the system call in each way to submit.
///
/// Such a return costs up to 400 ns on some processors (`cargo xtask bench --explain returns`), so
/// aio-safe inlines the system call into its caller. This command builds the example `loops` of
/// aio-safe for each main architecture, and looks for the instruction in the function of each
/// loop. It fails if the instruction is in a function that the loop calls.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The Debian archive to get standard libraries from, instead of the one in apt's
    /// configuration.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,

    /// Install nothing: when a package is missing, say what to type.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let install = if args.no_install {
        Install::No
    } else {
        Install::Yes
    };
    let archs: Vec<&'static Arch> = arch::main().collect();
    let progress = Progress::default();
    let mirror = Mirror::find(args.mirror.as_deref())?;
    let toolchains = Toolchains::get(&archs, &[], &mirror, install, &progress)?;
    let mut framed = 0;
    for arch in archs {
        interrupt::check()?;
        let build = toolchains.command(LOOPS, arch, Linking::Dynamic);
        println!("\n{}:\n{}", arch.name, process::shown_to_type(&build.cargo));
        let [program] = build.run(&progress)?;
        for (name, mangled) in FUNCTIONS {
            let code = code_of(&program, mangled)?;
            let whole = holds_a_system_call(&code, arch);
            framed += usize::from(!whole);
            println!(
                "{name:8} {:5} bytes  {}",
                code.len(),
                if whole {
                    "holds the system call"
                } else {
                    "FRAMED: a function that it calls makes the system call"
                }
            );
        }
    }
    Ok(ExitCode::from(u8::from(framed > 0)))
}

/// The machine code of the program's function whose mangled name holds `mangled` before its hash.
fn code_of(program: &Path, mangled: &str) -> Result<Vec<u8>> {
    let bytes = fs::read(program).with_context(|| format!("can't read {}", program.display()))?;
    let file = object::File::parse(&*bytes)
        .with_context(|| format!("{} isn't a program", program.display()))?;
    let wanted = format!("{mangled}17h");
    let mut found = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter(|symbol| symbol.name().is_ok_and(|name| name.contains(&wanted)))
        // A destructor names the type that it drops.
        .filter(|symbol| {
            symbol
                .name()
                .is_ok_and(|name| name.starts_with("_ZN5loops"))
        });
    let symbol = found
        .next()
        .with_context(|| format!("{} has no function {mangled}", program.display()))?;
    ensure!(
        found.next().is_none(),
        "{}: more than one function {mangled}",
        program.display()
    );
    let section = symbol.section_index().context("a function of no section")?;
    let section = file.section_by_index(section)?;
    let code = section.data_range(symbol.address(), symbol.size())?;
    Ok(code.context("a function without code")?.to_vec())
}

fn holds_a_system_call(code: &[u8], arch: &Arch) -> bool {
    match arch.name {
        // `svc #0`. All instructions have four bytes.
        "aarch64" => code
            .chunks_exact(4)
            .any(|bytes| bytes == [0x01, 0, 0, 0xd4]),
        // `syscall`. Between other bytes it could be part of an instruction, but hardly ever is.
        "x86_64" => code.windows(2).any(|bytes| bytes == [0x0f, 0x05]),
        other => unreachable!("{other} isn't a main architecture"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_found_where_it_begins() {
        let named = |name| arch::main().find(|arch| arch.name == name).unwrap();
        let svc = [0x1f, 0x20, 0x03, 0xd5, 0x01, 0, 0, 0xd4];
        assert!(holds_a_system_call(&svc, named("aarch64")));
        assert!(!holds_a_system_call(&svc[1..], named("aarch64")));
        let syscall = [0x90, 0x0f, 0x05, 0xc3];
        assert!(holds_a_system_call(&syscall, named("x86_64")));
        assert!(!holds_a_system_call(&syscall[2..], named("x86_64")));
    }

    #[test]
    fn a_function_that_is_not_there_is_an_error() {
        let this_test = std::env::current_exe().unwrap();
        let error = code_of(&this_test, "5loops6single").unwrap_err();
        assert!(error.to_string().contains("has no function"), "{error}");
    }
}
