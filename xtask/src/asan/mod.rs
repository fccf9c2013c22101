//! `cargo xtask asan`: aio-safe's tests, and attacks on aio-posix, under the address sanitizer.

use std::{
    env,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{interrupt, packages, process, workspace};

/// What the sanitizer does at run time, unless `ASAN_OPTIONS` in the environment says otherwise.
///
/// It doesn't look for leaks: a forgotten handle keeps its buffer for ever, by design, and tests
/// forget handles. The tests themselves count what has to be freed.
pub(crate) const OPTIONS: &str =
    "detect_leaks=0:detect_stack_use_after_return=1:strict_init_order=1";

/// What a program is compiled with.
pub(crate) const FLAGS: &str = "-Zsanitizer=address --cfg aio_asan";

/// Runs aio-safe's tests, and attacks on aio-posix, under the address sanitizer.
///
/// With `AIO_POSIX_STRESS_SECONDS` in the environment, it also runs the tests of aio-posix that
/// fork all the time, and the C functions are under stress for so long. That isn't the default: a
/// child that was forked under the sanitizer may fail to end.
///
/// Needs a nightly toolchain (`rustup toolchain install nightly`), as stable Rust has no sanitizer.
/// Without one it runs no tests, says so, and exits with 0. The standard library isn't
/// instrumented. The buffer of a read in flight is poisoned: a program that looks at it is stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The time limit in seconds, building included.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "900",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    timeout: u64,
    /// Arguments for the test programs, such as names of tests.
    #[arg(last = true)]
    tests: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let limit = Duration::from_secs(args.timeout);
    let Some((toolchain, target)) = toolchain()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let started = Instant::now();
    let forks = env::var_os("AIO_POSIX_STRESS_SECONDS").is_some();
    for package in PACKAGES.iter().chain(forks.then_some(&FORKS)) {
        let left = limit.saturating_sub(started.elapsed());
        test(package, &toolchain, &target, args, left)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is tested, with the arguments that say so.
const PACKAGES: [&[&str]; 2] = [
    &["aio-safe", "--all-features", "--lib", "--tests"],
    // The table and limits on memory and threads show nothing more here.
    &[
        "aio-posix",
        "--test=attack_c",
        "--test=attack_order",
        "--test=attack_panics",
        "--test=attack_reentry",
    ],
];
const FORKS: &[&str] = &["aio-posix", "--test=attack_fork", "--test=stress"];

fn test(
    package: &[&str],
    toolchain: &str,
    target: &str,
    args: &Args,
    limit: Duration,
) -> Result<()> {
    let mut tests = on(toolchain, "cargo");
    tests
        .args(["test", "--package"])
        .args(package)
        // Named, so that build scripts and procedural macros are built without the sanitizer.
        .args(["--target", target, "--target-dir"])
        .arg(workspace::target_dir().join("asan"))
        .arg("--")
        .args(&args.tests)
        .env("RUSTFLAGS", FLAGS);
    if env::var_os("ASAN_OPTIONS").is_none() {
        tests.env("ASAN_OPTIONS", OPTIONS);
    }
    process::run(&mut tests, limit)
}

/// A toolchain that has the sanitizer, and the target that it runs on. Says so where there is none.
pub(crate) fn toolchain() -> Result<Option<(String, String)>> {
    let Some(toolchain) = nightly()? else {
        eprintln!(
            "skipped: no nightly toolchain is installed, and the address sanitizer isn't in stable \
             Rust; to run it, type: rustup toolchain install nightly"
        );
        return Ok(None);
    };
    let target = host(&toolchain)?;
    if !["x86_64", "aarch64"]
        .iter()
        .any(|arch| target.starts_with(arch))
    {
        bail!("the address sanitizer doesn't work on {target}");
    }
    Ok(Some((toolchain, target)))
}

/// The name of an installed nightly toolchain, the newest channel first.
fn nightly() -> Result<Option<String>> {
    if packages::find("rustup").is_none() {
        return Ok(None);
    }
    let list = process::output(
        Command::new("rustup").args(["toolchain", "list"]),
        Duration::from_secs(60),
    )?;
    Ok(pick(&list))
}

/// The nightly toolchain in the output of `rustup toolchain list`. The channel itself comes before
/// toolchains of a certain day.
fn pick(list: &str) -> Option<String> {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .min_by_key(|name| name.starts_with("nightly-2"))
        .map(str::to_owned)
}

/// The target that a toolchain runs on.
fn host(toolchain: &str) -> Result<String> {
    let version = process::output(on(toolchain, "rustc").arg("-vV"), Duration::from_secs(60))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .with_context(|| format!("`rustc -vV` of {toolchain} doesn't name its host"))
}

/// A program of a toolchain, in the workspace's root.
pub(crate) fn on(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, program])
        .current_dir(workspace::root());
    // Those of the cargo that runs us, and flags that would take RUSTFLAGS' place.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_comes_before_a_day_of_it() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                    nightly-2025-01-05-x86_64-unknown-linux-gnu\n\
                    nightly-x86_64-unknown-linux-gnu\n";
        assert_eq!(
            pick(list).as_deref(),
            Some("nightly-x86_64-unknown-linux-gnu")
        );
        let list = "nightly-2025-01-05-x86_64-unknown-linux-gnu (override)\n";
        assert_eq!(
            pick(list).as_deref(),
            Some("nightly-2025-01-05-x86_64-unknown-linux-gnu")
        );
        assert_eq!(
            pick("stable-x86_64-unknown-linux-gnu (active, default)\n"),
            None
        );
        assert_eq!(pick("no installed toolchains\n"), None);
    }
}
