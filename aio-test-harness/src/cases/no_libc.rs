//! `aio-sys` in a program without libc, standard library and allocator.

use std::{fs, path::Path, process::Command};

use crate::{
    case::{Case, CaseResult, skip},
    cases::support::pattern,
    check, check_eq,
    env::{Env, Requirement},
};

/// `aio-sys/examples/no-libc`. It is beside the guest's init where it is built for the guest's
/// architecture.
const PROGRAM: &str = "/no-libc";

pub(super) const CASES: &[Case] = &[Case::new(
    "no_libc::writes_a_file",
    "a program without libc reads a file, and reports errors by its exit status",
    &[Requirement::Directory],
    writes_a_file,
)];

fn writes_a_file(env: &Env) -> CaseResult {
    if !Path::new(PROGRAM).exists() {
        return skip(format_args!(
            "{PROGRAM} is missing: only guests of x86_64 and aarch64 have it"
        ));
    }
    // The length is more than one of the program's buffers, and no multiple of one.
    let contents = pattern(1, 10_000);
    let file = env.directory()?.join("no-libc");
    fs::write(&file, &contents)?;
    let output = Command::new(PROGRAM).arg(&file).output()?;
    check_eq!(output.status.code(), Some(0));
    check!(
        output.stdout == contents,
        "the program printed other contents"
    );

    let status = |path: &str| Command::new(PROGRAM).arg(path).status();
    check_eq!(status("/no/such/file")?.code(), Some(2));
    check_eq!(status("/")?.code(), Some(4), "a directory can't be read");
    Ok(())
}
