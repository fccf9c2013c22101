//! Three programs that copy a large file, and make the copy durable: the example `copy`, `dd` with
//! direct I/O, and `cp`. They take turns.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::fs::Advice;
use serde::Serialize;

use super::{
    plan::Effort,
    program::{self, Program},
    results::Results,
    stats::Spread,
};
use crate::{interrupt, process, progress::Progress};

/// What `--filter` looks for.
pub(crate) const NAME: &str = "copy/disk";

/// The length of the file, if the disk has room for it.
const BYTES: u64 = 1 << 30;
/// The least length that says something.
const LEAST: u64 = 128 << 20;
/// How long one copy may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A program that copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Copier {
    /// The example of this stack.
    Copy,
    /// `dd` with direct I/O of 1 MiB at a time.
    Dd,
    /// `cp`, which uses the page cache.
    Cp,
}

impl Copier {
    pub(crate) const ALL: [Self; 3] = [Self::Copy, Self::Dd, Self::Cp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Dd => "dd iflag=direct oflag=direct bs=1M conv=fsync",
            Self::Cp => "cp, then fsync",
        }
    }
}

/// The times of all copies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Copies {
    /// The length of the file.
    pub(crate) bytes: u64,
    /// Seconds, for each round in the order of [`Copier::ALL`].
    pub(crate) rounds: Vec<[f64; 3]>,
}

impl Copies {
    /// The seconds of one program's copy.
    pub(crate) fn seconds(&self, of: Copier) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round[of as usize]))
    }

    /// The throughput of `of` against that of `base`, taken within rounds.
    pub(crate) fn throughput(&self, of: Copier, base: Copier) -> Option<Spread> {
        let ratio = |round: &[f64; 3]| round[base as usize] / round[of as usize];
        Spread::of(self.rounds.iter().map(ratio))
    }
}

/// How many rounds this effort has.
pub(crate) fn rounds(effort: Effort, filter: Option<&str>) -> u32 {
    match effort {
        _ if filter.is_some_and(|filter| !NAME.contains(filter)) => 0,
        // A round takes some seconds.
        Effort::Quick => 0,
        Effort::Middle => 5,
        Effort::Full => 15,
    }
}

/// Copies in a directory on the disk. What can't be done there is noted in the results.
pub(crate) fn copy(
    rounds: u32,
    program: &Program,
    dir: &Path,
    results: &mut Results,
    progress: &Progress,
) -> Result<()> {
    if rounds == 0 {
        return Ok(());
    }
    let line = progress.line("building the example `copy`");
    let example = program::copy_example()?;
    let Some(bytes) = fitting(room(dir)?) else {
        results.leave_out(NAME, "the disk has no room for the file and its copy");
        return Ok(());
    };
    let files = Pair {
        example,
        source: dir.join("source"),
        target: dir.join("target"),
        bytes,
    };
    line.set("preparing a file to copy");
    program.prepare("written", bytes, &files.source)?;
    let mut copies = Copies {
        bytes,
        ..Copies::default()
    };
    for round in 0..rounds {
        let mut seconds = [0.0; 3];
        for turn in 0..Copier::ALL.len() {
            interrupt::check()?;
            line.set(format!("copying, round {} of {rounds}", round + 1));
            let copier = Copier::ALL[(round as usize + turn) % Copier::ALL.len()];
            match files.turn(copier) {
                Ok(time) => seconds[copier as usize] = time.as_secs_f64(),
                Err(error) => {
                    interrupt::check()?;
                    let failure = format!("{NAME}: {}: {error:#}", copier.name());
                    results.failures.push(failure);
                    return Ok(());
                }
            }
        }
        copies.rounds.push(seconds);
    }
    results.copies = Some(copies);
    Ok(())
}

/// How many bytes a directory's file system has left.
fn room(dir: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(dir).with_context(|| dir.display().to_string())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A length of which two files fit, and leave as much again.
fn fitting(room: u64) -> Option<u64> {
    let halves = std::iter::successors(Some(BYTES), |bytes| Some(bytes / 2));
    halves
        .take_while(|bytes| *bytes >= LEAST)
        .find(|bytes| 4 * bytes <= room)
}

/// A file and its copy.
struct Pair {
    example: PathBuf,
    source: PathBuf,
    target: PathBuf,
    bytes: u64,
}

impl Pair {
    /// Copies once, and returns how long that took until the copy was durable.
    fn turn(&self, copier: Copier) -> Result<Duration> {
        let mut command = self.command(copier);
        let start = Instant::now();
        process::output(&mut command, LIMIT)?;
        if copier == Copier::Cp {
            File::open(&self.target)?.sync_all()?;
        }
        let time = start.elapsed();
        let copied = fs::metadata(&self.target)?.len();
        ensure!(copied == self.bytes, "it copied {copied} bytes");
        self.clean_up()?;
        Ok(time)
    }

    fn command(&self, copier: Copier) -> Command {
        let mut command = match copier {
            Copier::Copy => Command::new(&self.example),
            Copier::Dd => {
                let with = |what: &str, file: &Path| {
                    let mut word = std::ffi::OsString::from(what);
                    word.push(file);
                    word
                };
                let mut dd = Command::new("dd");
                dd.arg(with("if=", &self.source));
                dd.arg(with("of=", &self.target));
                dd.args(["iflag=direct", "oflag=direct", "bs=1M", "conv=fsync"]);
                return dd;
            }
            Copier::Cp => {
                let mut cp = Command::new("cp");
                // Otherwise some file systems only note that two files share their blocks.
                cp.arg("--reflink=never");
                cp
            }
        };
        command.arg(&self.source).arg(&self.target);
        command
    }

    /// Removes the copy, and the source from the page cache. The next program doesn't pay for what
    /// this one left.
    fn clean_up(&self) -> Result<()> {
        fs::remove_file(&self.target)?;
        let dir = self.target.parent().context("it is in a directory")?;
        File::open(dir)?.sync_all()?;
        rustix::fs::fadvise(&File::open(&self.source)?, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_compared_within_rounds() {
        // The disk was ten times as slow in the second round.
        let copies = Copies {
            bytes: BYTES,
            rounds: vec![[1.0, 1.5, 3.0], [10.0, 11.0, 28.0], [1.0, 1.2, 3.1]],
        };
        let median = |base| copies.throughput(Copier::Copy, base).unwrap().median;
        assert_eq!(median(Copier::Dd), 1.2);
        assert_eq!(median(Copier::Cp), 3.0);
        assert_eq!(copies.seconds(Copier::Dd).unwrap().median, 1.5);
        assert_eq!(Copies::default().throughput(Copier::Copy, Copier::Dd), None);
    }

    #[test]
    fn a_small_disk_gets_a_smaller_file() {
        assert_eq!(fitting(u64::MAX), Some(BYTES));
        assert_eq!(fitting(4 * BYTES - 1), Some(BYTES / 2));
        assert_eq!(fitting(4 * LEAST), Some(LEAST));
        assert_eq!(fitting(4 * LEAST - 1), None);
    }

    #[test]
    fn copies_are_left_out_of_quick_runs_and_by_other_filters() {
        assert_eq!(rounds(Effort::Quick, None), 0);
        assert!(rounds(Effort::Middle, None) > 1);
        assert!(rounds(Effort::Full, Some("copy")) > 1);
        assert_eq!(rounds(Effort::Full, Some("no-device")), 0);
    }

    /// Each program makes the same copy, which is gone afterwards.
    #[test]
    fn each_program_copies() {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair {
            // It takes the same arguments.
            example: "cp".into(),
            source: dir.path().join("source"),
            target: dir.path().join("target"),
            bytes: 4096,
        };
        fs::write(&pair.source, [7; 4096]).unwrap();
        for copier in Copier::ALL {
            let mut command = pair.command(copier);
            if process::output(&mut command, LIMIT).is_err() && copier == Copier::Dd {
                eprintln!("skipped: no O_DIRECT");
                continue;
            }
            assert_eq!(fs::read(&pair.target).unwrap(), [7; 4096], "{copier:?}");
            pair.turn(copier).unwrap();
            assert!(!pair.target.exists());
        }
        let short = Pair {
            bytes: 4097,
            ..pair
        };
        assert!(short.turn(Copier::Cp).is_err());
    }
}
