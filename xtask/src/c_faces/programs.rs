//! Runs the C program that uses every function, with each library.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::{
    build::{For, Libraries, face, target_dir},
    storm, symbols,
};
use crate::{process, progress::Progress};

const COMPILE: Duration = Duration::from_secs(60);
const RUN: Duration = Duration::from_secs(120);

/// A way to build and run the program.
struct Variant<'a> {
    name: &'static str,
    /// Arguments of the compiler, besides the program.
    flags: &'static [&'static str],
    library: &'a Path,
    /// Arguments of the program.
    arguments: &'static [&'static str],
}

/// Returns how many variants answer otherwise than they should.
pub(super) fn run(libraries: &Libraries, progress: &Progress) -> Result<usize> {
    check_header()?;
    let original = symbols::original()?;
    let ours = |name, flags, library| Variant {
        name,
        flags,
        library,
        arguments: &[],
    };
    let mut variants = vec![
        ours("shared library", &[], &libraries.shared),
        ours("archive", &["-static", "-DAIO_STATIC"], &libraries.archive),
        ours(
            "shared library, io_pgetevents forbidden",
            &["-DAIO_FILTER"],
            &libraries.shared,
        ),
    ];
    variants.extend(original.as_deref().map(|library| Variant {
        name: "the original",
        flags: &[],
        library,
        arguments: &["original"],
    }));
    let mut wrong = 0;
    for variant in variants {
        let _line = progress.line(format!("calls.c: {}", variant.name));
        let program = target_dir().join("calls");
        storm::compile(
            For::Here,
            "calls.c",
            variant.flags,
            variant.library,
            &program,
        )?;
        let mut command = Command::new(&program);
        command.args(variant.arguments);
        if let Some(dir) = variant.library.parent() {
            command.env("LD_LIBRARY_PATH", dir);
        }
        let (code, said) = process::outcome(&mut command, RUN)?;
        println!("calls.c, {}: {}", variant.name, said.trim_end());
        wrong += usize::from(code != Some(0));
    }
    Ok(wrong)
}

/// The header alone, in C and in C++.
fn check_header() -> Result<()> {
    for (compiler, flags) in [
        ("cc", ["-std=c99", "-xc"]),
        ("c++", ["-std=c++11", "-xc++"]),
    ] {
        let mut command = Command::new(compiler);
        command
            .args(flags)
            .args([
                "-D_GNU_SOURCE",
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                "-Werror",
            ])
            .arg(face().join("include").join("libaio.h"));
        process::run(&mut command, COMPILE)?;
    }
    Ok(())
}
