//! Runs something else than the cases: this program with other arguments, for example `stress`, or
//! another program, whose absolute path is the first argument.
//!
//! The report is that of one case with the name of the first argument. The case passes when the
//! program succeeds. The console shows what the program prints. The last lines of it are the case's
//! reason, also when it passes, because they have the figures.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Instant,
};

use super::INIT;
use crate::{
    guest::{cmdline::Options, disks},
    report::{ARCH, Line, Outcome, Totals},
    sys,
};

/// How many of the printed lines are reported.
const TAIL: usize = 60;

/// Runs the program and reports its result.
pub(super) fn run(words: &[String], port: &mut File, options: &Options) -> io::Result<()> {
    let name = words.first().cloned().unwrap_or_default();
    let mut report = |line: &Line| {
        writeln!(port, "{line}")?;
        options.sabotage.act(line);
        io::Result::Ok(())
    };
    report(&Line::Hello {
        release: sys::process::kernel_release()?,
        arch: ARCH.into(),
        cases: 1,
    })?;
    report(&Line::Start { name: name.clone() })?;
    let started = Instant::now();
    let (program, words) = match words.split_first() {
        Some((path, words)) if path.starts_with('/') => (path.as_str(), words),
        _ => (INIT, words),
    };
    let mut child = Command::new(program)
        .args(arguments(words)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut printed = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            printed.push(line);
        }
    }
    let status = child.wait()?;
    let outcome = if status.success() {
        Outcome::Passed
    } else {
        printed.push(format!("the program ended with {status}"));
        Outcome::Failed
    };
    report(&Line::Case {
        name,
        outcome,
        reason: Some(printed[printed.len().saturating_sub(TAIL)..].join("\n")),
        seconds: started.elapsed().as_secs_f64(),
    })?;
    let mut totals = Totals::default();
    totals.count(outcome);
    report(&Line::End(totals))
}

/// The arguments, with paths in place of `disk:SERIAL` and `dir:ext4`.
fn arguments(words: &[String]) -> io::Result<Vec<OsString>> {
    words
        .iter()
        .map(|word| match word.split_once(':') {
            Some(("disk", serial)) => Ok(disks::wait(serial)?.into_os_string()),
            Some(("dir", "ext4")) => Ok(disks::EXT4.into()),
            _ => Ok(word.into()),
        })
        .collect()
}
