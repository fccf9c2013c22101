//! `cargo xtask qemu-test --self-check`: real guests that go wrong on purpose. A test command is
//! worth what it does with them.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::args::Args;
use crate::{interrupt, packages::Install, process, progress::Progress};

/// What a guest does wrong, and what it has to be reported as.
const SABOTAGE: [(&str, &str); 4] = [
    ("fail", "failed"),
    ("hang", "timeout"),
    ("panic", "panic"),
    ("die", "lost"),
];

/// Seconds for a guest that is going to end, and for the one that isn't.
const TIMEOUT: u64 = 120;
const HANG_TIMEOUT: u64 = 30;
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs this very command once for each way to go wrong, and looks at its exit status, its report
/// and what it prints.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    let _line = progress.line("guests that go wrong on purpose");
    let dir = tempfile::Builder::new()
        .prefix("aio-self-check-")
        .tempdir()?;
    let mut checks = Vec::new();
    for arch in args.archs() {
        for kind in SABOTAGE {
            checks.push((arch.name, kind));
        }
    }
    let mut wrong = 0;
    for batch in checks.chunks(args.jobs()) {
        let results: Vec<Result<()>> = thread::scope(|scope| {
            let threads: Vec<_> = batch
                .iter()
                .map(|&(arch, kind)| {
                    scope.spawn({
                        let dir = dir.path();
                        move || check(args, arch, kind, dir)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no check panics"))
                .collect()
        });
        for ((arch, (sabotage, expected)), result) in batch.iter().zip(results) {
            match result {
                Ok(()) => progress.say(format!("{arch} {sabotage}: reported as {expected}")),
                Err(error) => {
                    wrong += 1;
                    progress.say(format!("{arch} {sabotage}: WRONG: {error:#}"));
                }
            }
        }
    }
    println!("{} passed, {wrong} failed", checks.len() - wrong);
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(args: &Args, arch: &str, (sabotage, expected): (&str, &str), dir: &Path) -> Result<()> {
    let json = dir.join(format!("{arch}-{sabotage}.json"));
    let timeout = if sabotage == "hang" {
        HANG_TIMEOUT
    } else {
        TIMEOUT
    };
    let mut command = Command::new(env::current_exe().context("can't find myself")?);
    command.args([
        "qemu-test",
        "--arch",
        arch,
        "--sabotage",
        sabotage,
        "--case",
        "setup",
    ]);
    command
        .args(["--timeout", &timeout.to_string()])
        .arg("--json")
        .arg(&json);
    if args.install() == Install::No {
        command.arg("--no-install");
    }
    if let Some(mirror) = &args.mirror {
        command.args(["--mirror", mirror]);
    }
    for series in &args.kernels {
        command.args(["--kernel", series]);
    }
    let (code, text) = process::outcome(&mut command, LIMIT)?;
    if code != Some(1) {
        bail!("the exit status is {code:?}, not 1; it printed:\n{text}");
    }
    let report: Value =
        serde_json::from_slice(&std::fs::read(&json).with_context(|| text.clone())?)?;
    let guests = report["guests"]
        .as_array()
        .context("the report has no guests")?;
    if guests.is_empty() {
        bail!("the report has no guests");
    }
    for guest in guests {
        if guest["outcome"] != expected {
            bail!(
                "reported as {}, not as {expected}; it printed:\n{text}",
                guest["outcome"]
            );
        }
    }
    if !text.contains("the end of its console:\n  | ") {
        bail!("no console is shown; it printed:\n{text}");
    }
    Ok(())
}
