//! libaio's own tests: the directory `harness` of its sources, compiled with our header.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Prefix, Suite, Test, Verdict, may_mount};
use crate::{process, progress::Progress};

const COMPILE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(120);

/// Tests that need a file system of their own, and how they get it. `$HARNESS` is the directory
/// with the tests.
const WITH_MOUNTS: [(&str, &str); 2] = [
    (
        "8",
        "truncate --size=10M ext2.img && mke2fs -q -F -b 4096 ext2.img && \
         mount -o loop -t ext2 ext2.img testdir.ext2",
    ),
    (
        "10",
        "cp \"$HARNESS/ext2-enospc.img\" enospc.img && \
         mount -o loop -t ext2 enospc.img testdir.enospc",
    ),
];

pub(super) fn suite(
    dir: &Path,
    work: &Path,
    prefix: &Prefix,
    progress: &Progress,
) -> Result<Suite> {
    let _line = progress.line("compiling libaio's tests");
    let harness = fs::canonicalize(dir.join("harness"))
        .with_context(|| format!("{} isn't a directory with libaio's sources", dir.display()))?;
    let cases = harness.join("cases");
    let mut numbers: Vec<u32> = fs::read_dir(&cases)
        .with_context(|| format!("can't read {}", cases.display()))?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".t")?.parse().ok()
        })
        .collect();
    ensure!(!numbers.is_empty(), "{} has no tests", cases.display());
    numbers.sort_unstable();
    let mut tests = Vec::new();
    for number in numbers {
        let number = number.to_string();
        let mounts = WITH_MOUNTS.iter().find(|(name, _)| *name == number);
        if mounts.is_some() && !may_mount() {
            progress.say(format!(
                "notice: {number}.t is left out: only root may mount"
            ));
            continue;
        }
        tests.push(Test {
            program: compile(&harness, &number, work, prefix)?,
            name: format!("{number}.t"),
            arguments: Vec::new(),
            mounts: mounts.map(|(_, text)| *text),
            variables: vec![("HARNESS", harness.clone().into())],
            limit: LIMIT,
        });
    }
    Ok(Suite {
        title: "libaio's own tests".to_owned(),
        ours: prefix.ours.clone(),
        original: prefix.original.clone(),
        tests,
        verdict,
        furnish,
    })
}

/// The exit codes of `runtests.sh`.
fn verdict(code: i32) -> Verdict {
    match code {
        0 => Verdict::Passed,
        3 => Verdict::Skipped,
        _ => Verdict::Not("failed"),
    }
}

/// The files that its makefile makes.
fn furnish(dir: &Path) -> Result<()> {
    for name in ["testdir", "testdir.ext2", "testdir.enospc"] {
        fs::create_dir(dir.join(name))?;
    }
    for (name, mode) in [("rofile", 0o400), ("wofile", 0o200), ("rwfile", 0o600)] {
        let file = dir.join("testdir").join(name);
        fs::write(&file, "test\n")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn compile(harness: &Path, number: &str, work: &Path, prefix: &Prefix) -> Result<PathBuf> {
    let program = work.join(format!("libaio-{number}"));
    let mut cc = Command::new("cc");
    cc.current_dir(harness)
        // Its own flags; a test passes bad pointers on purpose.
        .args(["-Wall", "-Werror", "-g", "-O2", "-Wno-stringop-overflow"])
        .arg(format!("-I{}", prefix.include.display()))
        .arg(format!("-DTEST_NAME=\"cases/{number}.t\""))
        .arg("-o")
        .arg(&program)
        .arg("main.c")
        .arg(format!("-L{}", prefix.lib.display()))
        .args(["-laio", "-lpthread"]);
    process::output(&mut cc, COMPILE)?;
    Ok(program)
}
