//! `cargo xtask qemu-test --self-check`: real guests that go wrong on purpose, to see whether the
//! command notices.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{args::Args, report};
use crate::{arch, interrupt, process, progress::Progress};

/// What a guest does wrong, and the outcome that has to be reported.
const SABOTAGE: [(&str, &str); 4] = [
    ("fail", "failed"),
    ("hang", "timeout"),
    ("panic", "panic"),
    ("die", "lost"),
];

/// The time limits, in seconds, of a guest that ends and of the one that hangs.
const TIMEOUT: u64 = 120;
const HANG_TIMEOUT: u64 = 30;
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs this command once for each way to go wrong, and checks its exit status, its report and its
/// output.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    let kernels = match args.guests.kernels.as_slice() {
        // One is enough: it is not the kernels that are tested.
        [] => vec![arch::STABLE_SERIES.to_owned()],
        named => named.to_vec(),
    };
    // Done first, so that the commands that then run side by side have nothing left to download.
    let parts = super::prepare(&args.guests, &kernels, false, &progress)?;
    if !parts.plan.unavailable.is_empty() {
        bail!(report::not_available(&parts.plan.unavailable));
    }
    let dir = tempfile::Builder::new()
        .prefix("aio-self-check-")
        .tempdir()?;
    let checks: Vec<Check<'_>> = args
        .guests
        .archs()
        .into_iter()
        .flat_map(|arch| SABOTAGE.map(|(sabotage, expected)| (arch.name, sabotage, expected)))
        .map(|(arch, sabotage, expected)| Check {
            arch,
            kernels: &kernels,
            sabotage,
            expected,
        })
        .collect();
    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..args.guests.jobs().min(checks.len()) {
            scope.spawn(|| {
                while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Check {
                        arch,
                        sabotage,
                        expected,
                        ..
                    } = check;
                    let line = progress.line(format!("{arch}: a guest that should {sabotage}"));
                    let result = check.run(args, dir.path());
                    drop(line);
                    if let Err(error) = result {
                        wrong.fetch_add(1, Ordering::Relaxed);
                        progress.say(format!("{arch} {sabotage}: WRONG: {error:#}"));
                    } else {
                        progress.say(format!("{arch} {sabotage}: reported as {expected}"));
                    }
                }
            });
        }
    });
    interrupt::check()?;
    let wrong = wrong.into_inner();
    println!("{} passed, {wrong} failed", checks.len() - wrong);
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One way to go wrong, on one architecture.
struct Check<'a> {
    arch: &'static str,
    kernels: &'a [String],
    sabotage: &'static str,
    expected: &'static str,
}

impl Check<'_> {
    fn run(&self, args: &Args, dir: &Path) -> Result<()> {
        let Self {
            arch,
            sabotage,
            expected,
            ..
        } = self;
        let json = dir.join(format!("{arch}-{sabotage}.json"));
        let timeout = if *sabotage == "hang" {
            HANG_TIMEOUT
        } else {
            TIMEOUT
        };
        // A few cases are enough: those about setup, or the one that fails on purpose.
        let case = if *sabotage == "fail" {
            "sabotage"
        } else {
            "setup"
        };
        let mut command = Command::new(env::current_exe().context("can't find myself")?);
        command.args([
            "qemu-test",
            "--no-install",
            "--arch",
            arch,
            "--sabotage",
            sabotage,
        ]);
        command
            .args(["--case", case, "--timeout", &timeout.to_string()])
            .arg("--json")
            .arg(&json);
        for series in self.kernels {
            command.args(["--kernel", series]);
        }
        if let Some(dir) = &args.guests.modules {
            command.arg("--modules").arg(dir);
        }
        if let Some(mirror) = &args.guests.mirror {
            command.args(["--mirror", mirror]);
        }
        let (code, text) = process::outcome(&mut command, LIMIT)?;
        let printed = || format!("it printed:\n{text}");
        if code != Some(1) {
            bail!("the exit status is {code:?}, not 1; {}", printed());
        }
        let json = fs::read(&json).with_context(printed)?;
        let report: Value = serde_json::from_slice(&json).with_context(printed)?;
        let guests = report["guests"]
            .as_array()
            .filter(|guests| !guests.is_empty());
        for guest in guests.context("the report has no guests")? {
            if guest["outcome"] != *expected {
                bail!(
                    "reported as {}, not as {expected}; {}",
                    guest["outcome"],
                    printed()
                );
            }
        }
        if !text.contains("the end of its console:\n  | ") {
            bail!("no console is shown; {}", printed());
        }
        Ok(())
    }
}
