//! The program `aio-bench`: building it, running it, and parsing what it prints.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use aio_bench::{Cell, Memory, Percentiles, Record, Round};
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::results::Results;
use crate::{interrupt, process, workspace};

/// How long building may take.
const BUILD: Duration = Duration::from_secs(1800);
/// How long preparing a file may take.
const PREPARE: Duration = Duration::from_secs(600);
/// How long one count may take, with the tool that counts.
pub(crate) const COUNT: Duration = Duration::from_secs(180);
/// How long anything short may take.
const SHORT: Duration = Duration::from_secs(60);

/// The program.
#[derive(Debug)]
pub(crate) struct Program(PathBuf);

/// The results of one run of a cell.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) rounds: Vec<Round>,
    pub(crate) latencies: Vec<(String, Percentiles)>,
    /// Engines, and why they can't run.
    pub(crate) unavailable: Vec<(String, String)>,
}

/// An engine's answer, or why it can't run.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer<T> {
    Answered(T),
    Unavailable(String),
}

/// Builds the example `copy`, and returns its path.
pub(crate) fn copy_example() -> Result<PathBuf> {
    let mut cargo = release("aio-examples");
    cargo.args(["--example", "copy"]);
    process::run(&mut cargo, BUILD).context("can't build the example `copy`")?;
    Ok(target_dir().join("release").join("examples").join("copy"))
}

/// Builds a package with the options of a release.
fn release(package: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--release", "--package", package])
        .env("CARGO_TARGET_DIR", target_dir());
    cargo
}

/// Not the workspace's own directory: a cargo that started us may have locked it.
fn target_dir() -> PathBuf {
    workspace::target_dir().join("bench")
}

impl Program {
    /// Builds it with the options of a release, and with all peers. One peer needs libclang to be
    /// built, and is left out without it.
    pub(crate) fn build(libclang: bool, results: &mut Results) -> Result<Self> {
        if libclang {
            match Self::built(Some("--cfg linux_aio_tokio")) {
                Ok(program) => return Ok(program),
                Err(error) => {
                    interrupt::check()?;
                    results.leave_out("linux-aio-tokio", format!("with it, {error:#}"));
                }
            }
        }
        Self::built(None)
    }

    fn built(flags: Option<&str>) -> Result<Self> {
        let mut cargo = release("aio-bench");
        cargo
            .args(["--features", "peers"])
            // With several units, flags and names change how code is divided among them, and that
            // changes what is inlined.
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        if let Some(flags) = flags {
            let own = env::var("RUSTFLAGS").unwrap_or_default();
            cargo.env("RUSTFLAGS", format!("{own} {flags}"));
        }
        process::run(&mut cargo, BUILD).context("can't build aio-bench")?;
        Ok(Self(target_dir().join("release").join("aio-bench")))
    }

    /// The engines' names.
    pub(crate) fn engines(&self) -> Result<Vec<String>> {
        let text = process::output(Command::new(&self.0).arg("engines"), SHORT)?;
        let name = |line: &str| line.split('\t').next().unwrap_or(line).trim().to_owned();
        let names: Vec<String> = text
            .lines()
            .map(name)
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() {
            bail!("`aio-bench engines` names none");
        }
        Ok(names)
    }

    /// Makes a file, or overwrites the beginning of a device.
    pub(crate) fn prepare(&self, kind: &str, bytes: u64, file: &Path) -> Result<()> {
        let mut command = Command::new(&self.0);
        command
            .args(["prepare", "--kind", kind, "--bytes", &bytes.to_string()])
            .arg(file);
        process::output(&mut command, PREPARE).map(drop)
    }

    /// Runs a cell whose turns take `time`.
    pub(crate) fn cell(&self, cell: &Cell, time: Duration) -> Result<Told> {
        let mut command = Command::new(&self.0);
        command.arg("cell").arg(serde_json::to_string(cell)?);
        // More than that: slow operations end a turn late, and all engines are set up and warmed
        // up.
        let text = process::output(&mut command, time * 3 + SHORT)?;
        told(&text)
    }

    /// The command that does this many operations with one engine.
    pub(crate) fn count(&self, cell: &Cell, engine: &str, operations: u64) -> Result<Command> {
        let mut command = Command::new(&self.0);
        command
            .args(["count", "--engine", engine])
            .args(["--operations", &operations.to_string()])
            .arg(serde_json::to_string(cell)?);
        Ok(command)
    }

    /// The memory that an engine uses.
    pub(crate) fn memory(&self, cell: &Cell, engine: &str) -> Result<Answer<Memory>> {
        let mut command = Command::new(&self.0);
        command
            .args(["memory", "--engine", engine])
            .arg(serde_json::to_string(cell)?);
        answer(&process::output(&mut command, SHORT)?)
    }
}

/// Parses the lines of a cell's run.
fn told(text: &str) -> Result<Told> {
    let mut told = Told::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let record: Record = serde_json::from_str(line)
            .with_context(|| format!("aio-bench printed a line that is no record: {line}"))?;
        match record {
            Record::Round(round) => told.rounds.push(round),
            Record::Latency {
                engine,
                percentiles,
            } => told.latencies.push((engine, percentiles)),
            Record::Unavailable { engine, reason } => told.unavailable.push((engine, reason)),
        }
    }
    Ok(told)
}

/// The one value that a run for one engine prints.
pub(crate) fn answer<T: DeserializeOwned>(text: &str) -> Result<Answer<T>> {
    let line = text.trim();
    if let Ok(Record::Unavailable { reason, .. }) = serde_json::from_str(line) {
        return Ok(Answer::Unavailable(reason));
    }
    serde_json::from_str(line)
        .map(Answer::Answered)
        .with_context(|| format!("aio-bench printed something unexpected: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: &str = concat!(
        r#"{"record":"round","engine":"floor","round":0,"operations":64,"ns":47360,"#,
        r#""user_ns":2000,"system_ns":45000,"allocations":0}"#
    );
    const UNAVAILABLE: &str = concat!(
        r#"{"record":"unavailable","engine":"io-uring","#,
        r#""reason":"io_uring is disabled (EPERM)"}"#
    );
    const LATENCY: &str = concat!(
        r#"{"record":"latency","engine":"floor","#,
        r#""percentiles":{"p50":1,"p90":2,"p99":3,"p999":4,"max":5}}"#
    );

    #[test]
    fn a_run_is_understood() {
        let text = format!("{UNAVAILABLE}\n{ROUND}\n{LATENCY}\n");
        let told = told(&text).unwrap();
        assert_eq!(told.rounds.len(), 1);
        assert_eq!(
            (told.rounds[0].engine.as_str(), told.rounds[0].ns),
            ("floor", 47360)
        );
        assert_eq!(told.latencies[0].1.p999, 4);
        assert_eq!(
            told.unavailable,
            [("io-uring".into(), "io_uring is disabled (EPERM)".into())]
        );
    }

    #[test]
    fn anything_else_is_an_error() {
        let error = told("garbage\n").unwrap_err();
        assert!(error.to_string().contains("garbage"), "{error}");
        assert!(told(r#"{"record":"round","engine":"floor"}"#).is_err());
        assert_eq!(told("\n").unwrap(), Told::default());
    }

    #[test]
    fn an_answer_is_a_value_or_a_reason() {
        let Answer::Answered(round) = answer::<Round>(ROUND).unwrap() else {
            panic!("it is a round");
        };
        assert_eq!(round.operations, 64);
        let memory = answer::<Memory>(r#"{"bytes":12,"allocated":8,"rings":4}"#).unwrap();
        assert!(matches!(memory, Answer::Answered(Memory { bytes: 12, .. })));
        let gone = r#"{"record":"unavailable","engine":"libaio","reason":"not installed"}"#;
        assert_eq!(
            answer::<Memory>(gone).unwrap(),
            Answer::Unavailable("not installed".into())
        );
        assert!(answer::<Memory>("").is_err());
    }
}
