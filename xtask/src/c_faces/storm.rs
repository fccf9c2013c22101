//! The stress of the library: threads, signals, forks, contexts that come and go, bad arguments.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::{
    build::{self, For, Libraries, face, target_dir},
    group::{End, Group},
};
use crate::{asan, process, progress::Progress};

const COMPILE: Duration = Duration::from_secs(60);
/// How much longer than its seconds a run may take: it ends itself when it hangs.
const MORE: Duration = Duration::from_secs(60);

/// A way to build and run the program.
struct Variant<'a> {
    name: &'static str,
    /// Arguments of the compiler, besides the program.
    flags: &'static [&'static str],
    library: &'a Path,
}

/// Runs the stress for so many seconds with each variant. Returns how many went wrong.
pub(super) fn run(
    seconds: u64,
    with_asan: bool,
    libraries: &Libraries,
    progress: &Progress,
) -> Result<usize> {
    let variant = |name, flags, library| Variant {
        name,
        flags,
        library,
    };
    let (shared, filtered) = ("shared library", "shared library, io_pgetevents forbidden");
    let mut variants = vec![
        variant(shared, &[], &libraries.shared),
        variant(filtered, &["-DAIO_FILTER"], &libraries.shared),
    ];
    let archive = match with_asan {
        true => build::with_asan(progress)?,
        false => None,
    };
    if let Some(archive) = &archive {
        variants.extend([
            variant("address sanitizer", &["-fsanitize=address"], archive),
            variant(
                "address sanitizer, io_pgetevents forbidden",
                &["-fsanitize=address", "-DAIO_FILTER"],
                archive,
            ),
        ]);
    }
    let mut wrong = 0;
    for variant in variants {
        let _line = progress.line(format!("storm.c: {}", variant.name));
        let program = target_dir().join("storm");
        compile(
            For::Here,
            "storm.c",
            variant.flags,
            variant.library,
            &program,
        )?;
        let mut command = Command::new(&program);
        command
            .arg(seconds.to_string())
            .arg(target_dir())
            .env("ASAN_OPTIONS", asan::OPTIONS);
        if let Some(dir) = variant.library.parent() {
            command.env("LD_LIBRARY_PATH", dir);
        }
        let output = target_dir().join("storm.log");
        let limit = Duration::from_secs(seconds) + MORE;
        let end = Group::start(&command, &output)?.wait(limit)?;
        let said = std::fs::read_to_string(&output)?;
        let is_good = end == End::Exit(0);
        let end = if is_good {
            String::new()
        } else {
            format!(" WRONG: {end:?}")
        };
        println!(
            "storm.c, {}:{end} {}",
            variant.name,
            said.trim_end().replace('\n', ": ")
        );
        wrong += usize::from(!is_good);
    }
    Ok(wrong)
}

/// Compiles a program of the crate with its header and a library.
pub(super) fn compile(
    target: For<'_>,
    source: &str,
    flags: &[&str],
    library: &Path,
    program: &Path,
) -> Result<()> {
    let mut cc = target.cc();
    cc.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("-I{}", face().join("include").display()))
        .args(flags)
        .arg(face().join("tests").join(source))
        .arg(library)
        .arg("-o")
        .arg(program)
        .arg("-pthread");
    process::run(&mut cc, COMPILE)
}
