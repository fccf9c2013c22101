//! The Linux Test Project's tests of POSIX AIO, with a library preloaded and without it.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Suite, Test, Verdict, Way, ltp};
use crate::{interrupt, process, progress::Progress};

/// Where the tests are.
const SUITE: &str = "testcases/open_posix_testsuite";
const INTERFACES: [&str; 8] = [
    "aio_cancel",
    "aio_error",
    "aio_fsync",
    "aio_read",
    "aio_return",
    "aio_suspend",
    "aio_write",
    "lio_listio",
];

const COMPILE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn suite(dir: &Path, work: &Path, library: &Path, progress: &Progress) -> Result<Suite> {
    let line = progress.line("compiling LTP's tests of POSIX AIO");
    let library =
        fs::canonicalize(library).with_context(|| format!("can't find {}", library.display()))?;
    let suite = dir.join(SUITE);
    let common = suite.join("lib/common.c");
    let mut tests = Vec::new();
    for interface in INTERFACES {
        let dir = suite.join("conformance/interfaces").join(interface);
        for test in ltp::stems(&dir)? {
            interrupt::check()?;
            let name = format!("{interface}/{test}");
            line.set(format!("compiling {name}"));
            let program = work.join(format!("posix-{interface}-{test}"));
            let mut cc = Command::new("cc");
            cc.args([
                "-O2",
                "-w",
                "-D_POSIX_C_SOURCE=200809L",
                "-D_XOPEN_SOURCE=700",
            ])
            .arg(format!("-I{}", suite.join("include").display()))
            .arg(dir.join(format!("{test}.c")))
            // Its `main`, which the tests had themselves until 2026.
            .args(Some(&common).filter(|file| file.exists()))
            .arg("-o")
            .arg(&program)
            .args(["-lpthread", "-lrt"]);
            process::output(&mut cc, COMPILE)?;
            tests.push(Test {
                name,
                program,
                arguments: Vec::new(),
                variables: Vec::new(),
                mounts: None,
                limit: LIMIT,
            });
        }
    }
    ensure!(!tests.is_empty(), "{} has no tests", suite.display());
    Ok(Suite {
        title: format!(
            "LTP's tests of POSIX AIO, with {} preloaded",
            library.display()
        ),
        ours: Way {
            variables: vec![("LD_PRELOAD", library.into())],
            tells: None,
        },
        original: Some(Way {
            variables: Vec::new(),
            tells: None,
        }),
        tests,
        verdict,
        furnish: |_| Ok(()),
    })
}

/// The codes of `posixtest.h`.
fn verdict(code: i32) -> Verdict {
    match code {
        0 => Verdict::Passed,
        1 => Verdict::Not("failed"),
        2 => Verdict::Not("unresolved"),
        4 => Verdict::Not("unsupported"),
        5 => Verdict::Not("untested"),
        _ => Verdict::Not("unknown"),
    }
}
