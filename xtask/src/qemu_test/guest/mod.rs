//! One guest: starting it, watching it until it ends or has to be killed, and judging it.

mod follow;
mod machine;
mod verdict;

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use aio_test_harness::report::Line;
use anyhow::{Context, Result};

use crate::{interrupt, process};
use follow::Follow;

pub(crate) use machine::{Accel, Machine};
pub(crate) use verdict::{Case, Outcome, Verdict, rounded};

/// How often a running guest is checked.
const LOOK: Duration = Duration::from_millis(20);
/// How long a guest may take to power off once it has reported its end.
const POWER_OFF: Duration = Duration::from_secs(20);

/// The files of a guest, all in one directory.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
}

impl Files {
    /// What the kernel and the program print.
    pub(crate) fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// What the program reports, a line each.
    pub(crate) fn results(&self) -> PathBuf {
        self.dir.join("results.jsonl")
    }

    /// What QEMU itself prints.
    pub(crate) fn qemu(&self) -> PathBuf {
        self.dir.join("qemu.log")
    }
}

/// How long a guest may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// Without any output on the console or in the report.
    pub(crate) silence: Duration,
}

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exited(ExitStatus),
    /// Killed after it had run for this long.
    TooLong(Duration),
    /// Killed after it had been silent for this long.
    Silent(Duration),
    /// Killed because it was still on this long after it had reported its end.
    StillOn(Duration),
    /// Killed because the user pressed Ctrl-C.
    Interrupted,
}

/// What was seen of a guest.
#[derive(Debug)]
pub(crate) struct Observed {
    /// What it reported.
    pub(crate) lines: Vec<Line>,
    /// The first line of the report that can't be parsed.
    pub(crate) nonsense: Option<String>,
    pub(crate) end: End,
    pub(crate) console: String,
    pub(crate) qemu: String,
    pub(crate) took: Duration,
}

impl Observed {
    /// Whether a signal ended QEMU before the guest had reported anything: then QEMU has crashed,
    /// and no test is the cause.
    pub(crate) fn qemu_crashed_early(&self) -> bool {
        matches!(self.end, End::Exited(status) if status.signal().is_some())
            && self.lines.is_empty()
    }
}

/// A running guest, which ends when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a guest until it ends, and calls `on_line` with each line that it reports.
pub(crate) fn run(
    command: &mut Command,
    files: &Files,
    limits: Limits,
    mut on_line: impl FnMut(&Line),
) -> Result<Observed> {
    let log = File::create(files.qemu()).context("can't make the log of QEMU")?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("can't start a guest: {}", process::shown(command)))?;
    let mut child = Running(child);

    let mut results = Follow::new(files.results());
    let mut console = Follow::new(files.console());
    let mut lines = Vec::new();
    let mut nonsense = None;
    let mut last_word = start;
    let mut ended_at = None;
    let end = loop {
        // Checked before the files are read, so that its last output is still read.
        let exited = child.0.try_wait().context("waiting for a guest")?;
        let report = results.lines()?;
        if !report.is_empty() || console.grew()? {
            last_word = Instant::now();
        }
        for text in report {
            match text.parse::<Line>() {
                Ok(line) => {
                    if matches!(line, Line::End(_)) {
                        ended_at = Some(Instant::now());
                    }
                    on_line(&line);
                    lines.push(line);
                }
                Err(_) => nonsense = nonsense.or(Some(text)),
            }
        }
        if let Some(status) = exited {
            break End::Exited(status);
        }
        if interrupt::requested() {
            break End::Interrupted;
        }
        if ended_at.is_some_and(|time| time.elapsed() >= POWER_OFF) {
            break End::StillOn(POWER_OFF);
        }
        if start.elapsed() >= limits.wall {
            break End::TooLong(limits.wall);
        }
        if last_word.elapsed() >= limits.silence {
            break End::Silent(limits.silence);
        }
        thread::sleep(LOOK);
    };
    drop(child);
    Ok(Observed {
        lines,
        nonsense,
        end,
        console: text_of(&files.console()),
        qemu: text_of(&files.qemu()),
        took: start.elapsed(),
    })
}

/// A file that may be missing, and need not be UTF-8.
fn text_of(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
