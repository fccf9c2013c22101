//! The Linux Test Project's tests of libaio, compiled with our header.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Prefix, Suite, Test, Verdict};
use crate::{
    packages::{self, Install, Tool},
    process,
    progress::Progress,
};

const TOOLS: [Tool; 3] = [
    Tool {
        program: "autoconf",
        packages: &["autoconf"],
    },
    Tool {
        program: "automake",
        packages: &["automake"],
    },
    Tool {
        program: "make",
        packages: &["make"],
    },
];

const BUILD: Duration = Duration::from_secs(900);
const LIMIT: Duration = Duration::from_secs(120);

/// Directories whose programs are each a test.
const DIRECTORIES: [&str; 7] = [
    "testcases/kernel/syscalls/io_setup",
    "testcases/kernel/syscalls/io_destroy",
    "testcases/kernel/syscalls/io_submit",
    "testcases/kernel/syscalls/io_cancel",
    "testcases/kernel/syscalls/io_getevents",
    "testcases/kernel/syscalls/io_pgetevents",
    "testcases/kernel/io/aio",
];

/// Programs that take arguments.
const STRESS: &str = "testcases/kernel/io/ltp-aiodio";

/// The list of runs of aio-stress. Each run gets a smaller file, and what it reads is verified.
const STRESS_RUNS: &str = "runtest/ltp-aio-stress";
const STRESS_SMALLER: [&str; 2] = ["-s2M", "-v"];

/// A few runs of the others. The project's own lists have some hundred.
const OTHER_RUNS: [&str; 6] = [
    "aiocp -b 4k -n 8 -f DIRECT",
    "aiocp -b 64k -n 64 -f SYNC",
    "aiodio_append -n 4 -c 100",
    "aiodio_append -n 8 -c 50 -b 64",
    "aiodio_sparse -o 4 -w 64k -s 256k -n 2",
    "aiodio_sparse -o 16 -w 8k -s 1024k -n 4",
];

pub(super) fn suite(
    dir: &Path,
    work: &Path,
    prefix: &Prefix,
    install: Install,
    progress: &Progress,
) -> Result<Suite> {
    packages::ensure(&TOOLS, install, progress)?;
    let copy = build(dir, work, prefix, progress)?;
    let mut tests = Vec::new();
    for dir in DIRECTORIES {
        for name in stems(&copy.join(dir))? {
            tests.push(test(&copy.join(dir).join(&name), name, &[]));
        }
    }
    let list = fs::read_to_string(copy.join(STRESS_RUNS))
        .with_context(|| format!("can't read {STRESS_RUNS}"))?;
    let stress = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(char::is_whitespace)?.1.trim()));
    let before = tests.len();
    for (run, more) in stress
        .map(|run| (run, STRESS_SMALLER.as_slice()))
        .chain(OTHER_RUNS.map(|run| (run, [].as_slice())))
    {
        let mut words = run.split_whitespace();
        let program = words.next().context("an empty line in a list")?;
        let arguments: Vec<&str> = words.chain(more.iter().copied()).collect();
        let file = copy.join(STRESS).join(program);
        tests.push(test(&file, run.to_owned(), &arguments));
    }
    ensure!(
        tests.len() > before + OTHER_RUNS.len(),
        "{STRESS_RUNS} lists no runs"
    );
    Ok(Suite {
        title: "LTP's tests of libaio".to_owned(),
        ours: prefix.ours.clone(),
        original: prefix.original.clone(),
        tests,
        verdict,
        furnish: |_| Ok(()),
    })
}

fn test(program: &Path, name: String, arguments: &[&str]) -> Test {
    Test {
        name,
        program: program.to_owned(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        mounts: None,
        variables: vec![("LTP_COLORIZE_OUTPUT", "n".into())],
        limit: LIMIT,
    }
}

/// The bits of an exit code.
fn verdict(code: i32) -> Verdict {
    match code {
        0 => Verdict::Passed,
        32 => Verdict::Skipped,
        _ if code & 1 != 0 => Verdict::Not("failed"),
        _ if code & 2 != 0 => Verdict::Not("broken"),
        _ => Verdict::Not("warned"),
    }
}

/// Builds the tests in a copy, so that nothing is written to the sources. Returns the copy.
fn build(dir: &Path, work: &Path, prefix: &Prefix, progress: &Progress) -> Result<PathBuf> {
    let line = progress.line("LTP: copying");
    ensure!(
        dir.join("testcases/kernel/syscalls/io_submit").is_dir(),
        "{} isn't a directory with LTP's sources",
        dir.display()
    );
    let copy = work.join("ltp");
    fs::create_dir(&copy)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if [".git", "doc"]
            .iter()
            .any(|&name| entry.file_name() == name)
        {
            continue;
        }
        let mut cp = Command::new("cp");
        cp.args(["--recursive", "--preserve=mode,timestamps,links"])
            .arg(entry.path())
            .arg(&copy);
        process::output(&mut cp, BUILD)?;
    }
    let step = |what: &str, command: &mut Command| {
        line.set(format!("LTP: {what}"));
        process::output(command.current_dir(&copy), BUILD).map(drop)
    };
    step("make autotools", Command::new("make").arg("autotools"))?;
    let mut configure = Command::new("./configure");
    configure
        .env("CPPFLAGS", format!("-I{}", prefix.include.display()))
        .env("LDFLAGS", format!("-L{}", prefix.lib.display()));
    step("./configure", &mut configure)?;
    let config = fs::read_to_string(copy.join("include/config.h"))?;
    ensure!(
        config.contains("#define HAVE_LIBAIO 1"),
        "LTP's ./configure doesn't find libaio"
    );
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for dir in ["lib"].iter().chain(&DIRECTORIES).chain(&[STRESS]) {
        let mut make = Command::new("make");
        make.args(["-s", "-C", dir]).arg(format!("-j{jobs}"));
        step(&format!("make -C {dir}"), &mut make)?;
    }
    Ok(copy)
}

/// The names of the C files in a directory, without their ending.
pub(super) fn stems(dir: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .with_context(|| format!("can't read {}", dir.display()))?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            Some(name.to_str()?.strip_suffix(".c")?.to_owned())
        })
        .collect();
    names.sort();
    Ok(names)
}
