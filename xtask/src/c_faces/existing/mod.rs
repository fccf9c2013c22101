//! Runs programs that exist with the shared library, and looks at what they read and wrote.

mod fio;
mod mariadb;
mod qemu_guest;
mod qemu_img;
mod stress_ng;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{
    counts::{self, Counts},
    group::{End, Group},
};
use crate::{
    interrupt,
    packages::{self, Install, Tool},
    process,
    progress::Progress,
};

/// A program, or a way to use one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Program {
    /// Writes blocks, reads them and compares them, in two ways to take events.
    Fio,
    /// Reads an image, and converts one.
    QemuImg,
    /// Boots a guest whose disks it reads and writes with native AIO.
    QemuGuest,
    /// A database that is loaded, killed, recovered and checked.
    Mariadb,
    /// Its stressor of libaio.
    StressNg,
}

impl Program {
    fn tools(self) -> &'static [Tool] {
        match self {
            Self::Fio => &fio::TOOLS,
            Self::QemuImg => &qemu_img::TOOLS,
            // qemu-test installs what its guests need.
            Self::QemuGuest => &[],
            Self::Mariadb => &mariadb::TOOLS,
            Self::StressNg => &stress_ng::TOOLS,
        }
    }
}

/// What all programs get.
struct Lab<'a> {
    /// The directory with the library.
    library: &'a Path,
    /// A directory for their files.
    work: TempDir,
    install: Install,
    progress: &'a Progress,
    wrong: usize,
}

/// Runs the programs, all if none is named. Returns how many don't do what they should.
pub(super) fn run(
    programs: &[Program],
    library: &Path,
    install: Install,
    progress: &Progress,
) -> Result<usize> {
    let programs = match programs {
        [] => <Program as clap::ValueEnum>::value_variants(),
        named => named,
    };
    let tools: Vec<Tool> = programs
        .iter()
        .flat_map(|one| one.tools())
        .copied()
        .collect();
    packages::ensure(&tools, install, progress)?;
    let mut lab = Lab {
        library: library.parent().context("a library without a directory")?,
        work: tempfile::Builder::new()
            .prefix("programs-")
            .tempdir_in(super::build::target_dir())?,
        install,
        progress,
        wrong: 0,
    };
    for program in programs {
        interrupt::check()?;
        match program {
            Program::Fio => fio::run(&mut lab)?,
            Program::QemuImg => qemu_img::run(&mut lab)?,
            Program::QemuGuest => qemu_guest::run(&mut lab)?,
            Program::Mariadb => mariadb::run(&mut lab)?,
            Program::StressNg => stress_ng::run(&mut lab)?,
        }
    }
    Ok(lab.wrong)
}

impl Lab<'_> {
    /// Does something, and prints what it says of itself, or why it failed. Ctrl-C ends all.
    fn check(&mut self, name: &str, what: impl FnOnce(&Self) -> Result<String>) -> Result<()> {
        let line = self.progress.line(name.to_owned());
        let done = what(self);
        interrupt::check()?;
        drop(line);
        match done {
            Ok(text) => println!("{name}: {text}"),
            Err(error) => {
                self.wrong += 1;
                println!("{name}: WRONG: {error:#}");
            }
        }
        Ok(())
    }

    /// A path in the directory for files.
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Makes the program use the library, and the library count.
    fn through<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_LIBRARY_PATH", self.library)
            .env(counts::VARIABLE, "1")
    }

    /// Runs a program that has to succeed. Returns what it printed.
    fn said(&self, command: &Command, limit: Duration) -> Result<String> {
        let output = self.path("output");
        let end = Group::start(command, &output)?.wait(limit)?;
        let said = fs::read(&output).context("a program's output is gone")?;
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(
            end == End::Exit(0),
            "`{}`: {end:?}\n{said}",
            process::shown(command)
        );
        Ok(said)
    }

    /// Runs a program with the library.
    ///
    /// # Errors
    ///
    /// The program failed, or didn't use the library for as many requests.
    fn run(&self, command: &mut Command, limit: Duration, requests: usize) -> Result<Counts> {
        let said = self.said(self.through(command), limit)?;
        at_least(requests, &said)
    }
}

/// The counts in what programs printed, if they made so many requests.
fn at_least(requests: usize, said: &str) -> Result<Counts> {
    let counts = Counts::of(said)?.context("it doesn't use the library")?;
    ensure!(
        counts.requests >= requests as u64,
        "{counts}: {requests} requests at least were expected"
    );
    Ok(counts)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path isn't UTF-8")
}
