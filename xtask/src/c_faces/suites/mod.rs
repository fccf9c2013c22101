//! Tests that others wrote for libaio and for POSIX AIO, run with our library and with the
//! original. Their sources are under the GPL: they are named by the user, compiled in the build
//! directory, and never a part of this repository.

mod libaio;
mod ltp;
mod posix;
mod table;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    build::{Libraries, SONAME, face, target_dir},
    counts::{self, Counts},
    group::{End, Group},
    symbols,
};
use crate::{interrupt, packages::Install, process, progress::Progress};

/// Which tests are run.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Also run libaio's own tests, of its sources in DIR, with our library and with the original.
    #[arg(long, value_name = "DIR")]
    libaio_tests: Option<PathBuf>,

    /// Also run the Linux Test Project's tests of libaio, of its sources in DIR, with our library
    /// and with the original.
    ///
    /// Installs autoconf and automake with apt if they are missing, after printing the command.
    #[arg(long, value_name = "DIR")]
    ltp: Option<PathBuf>,

    /// Also run the Linux Test Project's tests of POSIX AIO: with this library preloaded, and with
    /// the C library's functions.
    #[arg(long, value_name = "FILE", requires = "ltp")]
    posix_library: Option<PathBuf>,

    /// Run only the tests of others whose name contains this.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    test: String,
}

/// Tests that are run with two libraries.
#[derive(Debug)]
struct Suite {
    title: String,
    ours: Way,
    /// `None` where the original isn't installed.
    original: Option<Way>,
    tests: Vec<Test>,
    /// What a test's exit code means.
    verdict: fn(i32) -> Verdict,
    /// Puts into a new directory what a test expects there.
    furnish: fn(&Path) -> Result<()>,
}

/// How a program gets a library.
#[derive(Debug, Clone)]
struct Way {
    variables: Vec<(&'static str, OsString)>,
    /// The file's name. Each program that was linked with it has to say that it used it. `None`
    /// for a library that says nothing.
    tells: Option<&'static str>,
}

/// One test.
#[derive(Debug)]
struct Test {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// For the test, whichever library it has.
    variables: Vec<(&'static str, OsString)>,
    /// Commands of a shell that come first, in a mount namespace of their own.
    mounts: Option<&'static str>,
    limit: Duration,
}

/// What an exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped,
    /// In the tests' own words.
    Not(&'static str),
}

/// What a test did with one library.
#[derive(Debug)]
struct Ran {
    end: End,
    /// What the library counted.
    counts: Option<Counts>,
    said: String,
    took: Duration,
}

/// Runs what was asked for. Returns how many tests do otherwise than with the original.
pub(super) fn run(
    args: &Wanted,
    libraries: &Libraries,
    install: Install,
    progress: &Progress,
) -> Result<usize> {
    if args.libaio_tests.is_none() && args.ltp.is_none() {
        return Ok(0);
    }
    let work = tempfile::Builder::new()
        .prefix("suites-")
        .tempdir_in(target_dir())?;
    let prefix = Prefix::make(work.path(), libraries)?;
    let mut suites = Vec::new();
    if let Some(dir) = &args.libaio_tests {
        suites.push(libaio::suite(dir, work.path(), &prefix, progress)?);
    }
    if let Some(dir) = &args.ltp {
        suites.push(ltp::suite(dir, work.path(), &prefix, install, progress)?);
        if let Some(library) = &args.posix_library {
            suites.push(posix::suite(dir, work.path(), library, progress)?);
        }
    }
    let mut wrong = 0;
    for suite in &mut suites {
        suite.tests.retain(|test| test.name.contains(&args.test));
        wrong += suite.run(work.path(), progress)?;
    }
    Ok(wrong)
}

/// Both libraries as compilers and programs look for them.
#[derive(Debug)]
struct Prefix {
    include: PathBuf,
    /// The directory with our library.
    lib: PathBuf,
    ours: Way,
    original: Option<Way>,
}

impl Prefix {
    fn make(work: &Path, libraries: &Libraries) -> Result<Self> {
        let way = |name: &str, library: &Path| -> Result<(PathBuf, Way)> {
            let dir = work.join(name);
            fs::create_dir(&dir)?;
            // The original has another name in Debian 13.
            for name in [SONAME, "libaio.so"] {
                std::os::unix::fs::symlink(library, dir.join(name))?;
            }
            let variables = vec![
                ("LD_LIBRARY_PATH", dir.clone().into()),
                (counts::VARIABLE, "1".into()),
            ];
            let tells = (name == "ours").then_some(SONAME);
            Ok((dir, Way { variables, tells }))
        };
        let (lib, ours) = way("ours", &libraries.shared)?;
        let original = match symbols::original()? {
            Some(library) => Some(way("original", &library)?.1),
            None => None,
        };
        Ok(Self {
            include: face().join("include"),
            lib,
            ours,
            original,
        })
    }
}

impl Suite {
    /// Runs all tests, and prints the table and what the tests said that differ. Returns how many
    /// those are.
    fn run(&self, work: &Path, progress: &Progress) -> Result<usize> {
        let line = progress.line(self.title.clone());
        let mut rows = Vec::new();
        for (n, test) in self.tests.iter().enumerate() {
            interrupt::check()?;
            let (title, all) = (&self.title, self.tests.len());
            line.set(format!("{title}: {} of {all}, {}", n + 1, test.name));
            let ours = self.one(test, &self.ours, work)?;
            let original = match &self.original {
                Some(way) => Some(self.one(test, way, work)?),
                None => None,
            };
            let difference = self.difference(test, &ours, original.as_ref())?;
            rows.push(table::Row {
                name: &test.name,
                ours,
                original,
                difference,
            });
        }
        drop(line);
        print!("{}", table::text(self, &rows));
        Ok(rows.iter().filter(|row| row.difference.is_some()).count())
    }

    /// Runs a test in a directory of its own.
    fn one(&self, test: &Test, way: &Way, work: &Path) -> Result<Ran> {
        let dir = tempfile::tempdir_in(work)?;
        let output = dir.path().join("output");
        let place = dir.path().join("place");
        fs::create_dir(&place)?;
        (self.furnish)(&place)?;
        let mut command = match test.mounts {
            None => Command::new(&test.program),
            Some(text) => {
                let mut command = Command::new("unshare");
                // The library is for the test, not for the programs that come before it.
                let text = format!("{text} && exec env \"$@\"");
                command.args(["--mount", "sh", "-c", &text, "sh"]);
                for (name, value) in &way.variables {
                    let mut word = OsString::from(format!("{name}="));
                    word.push(value);
                    command.arg(word);
                }
                command.arg(&test.program);
                command
            }
        };
        command
            .args(&test.arguments)
            .current_dir(&place)
            .envs(test.variables.iter().map(|(name, value)| (name, value)))
            .env("TMPDIR", &place)
            .env("LC_ALL", "C");
        if test.mounts.is_none() {
            command.envs(way.variables.iter().map(|(name, value)| (name, value)));
        }
        let start = Instant::now();
        let end = Group::start(&command, &output)?.wait(test.limit)?;
        let took = start.elapsed();
        let said = fs::read(&output)
            .with_context(|| format!("no output of `{}`", process::shown(&command)))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(Ran {
            end,
            counts: Counts::of(&said)?,
            said,
            took,
        })
    }

    /// Why a test isn't as it should be.
    fn difference(
        &self,
        test: &Test,
        ours: &Ran,
        original: Option<&Ran>,
    ) -> Result<Option<String>> {
        let passed = |ran: &Ran| matches!(ran.end, End::Exit(code) if (self.verdict)(code) == Verdict::Passed);
        if let Some(library) = self.ours.tells {
            let program = fs::read(&test.program)
                .with_context(|| format!("can't read {}", test.program.display()))?;
            let is_linked = contains(&program, library.as_bytes());
            if is_linked && matches!(ours.end, End::Exit(_)) && ours.counts.is_none() {
                return Ok(Some("it didn't use our library".to_owned()));
            }
        }
        if original.is_some_and(|original| original.counts.is_some()) {
            return Ok(Some(
                "it used our library instead of the original".to_owned(),
            ));
        }
        Ok(match original {
            _ if passed(ours) => None,
            Some(original) if original.end == ours.end => None,
            Some(_) => Some("it ends otherwise than with the original".to_owned()),
            None if ours.end_is_skip(self) => None,
            None => Some("it didn't pass, and there is no original to compare".to_owned()),
        })
    }
}

impl Ran {
    fn end_is_skip(&self, suite: &Suite) -> bool {
        matches!(self.end, End::Exit(code) if (suite.verdict)(code) == Verdict::Skipped)
    }
}

/// Whether a file has a text in it, as a program has the names of its libraries.
pub(super) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Whether tests may mount file systems.
fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
}
