//! Runs cases, each in a process of its own.
//!
//! Cases mostly wait - every end of a context takes the kernel some 30 ms - so a few run at the same time. One that
//! needs something for itself, a disk or the system-wide limits, runs alone.
//!
//! The runner starts its own program again for each case ([`run_one`] is what that process does), gives it a time
//! limit, and takes whatever becomes of it for the case's outcome: a crash, a hang or a call of `exit` fails that
//! case and none other.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use wait_timeout::ChildExt;

use crate::{
    case::{Case, CaseResult, Stop},
    env::Env,
    report::{ARCH, Line, Outcome, Totals},
    sys,
};

/// How many cases run at the same time.
const JOBS: usize = 4;

/// How long a killed process may take to go. One that takes longer is stuck in the kernel.
const GRACE: Duration = Duration::from_secs(5);

/// How much of what a failed case printed goes into its reason.
const LOG_TAIL: usize = 4000;

/// Runs cases.
#[derive(Debug)]
pub struct Runner {
    /// The conformance program; it is started as `program --run-case NAME [--alone] [TARGET]...`.
    pub program: PathBuf,
    /// What the cases get.
    pub env: Env,
    /// How long one case may take.
    pub timeout: Duration,
}

impl Runner {
    /// Runs the cases and hands each line of the report to `sink` as it comes up, from
    /// [`Hello`](Line::Hello) to [`End`](Line::End).
    ///
    /// # Errors
    ///
    /// Only what keeps the runner itself from working: no process can be started, or `sink` fails. A case
    /// never causes one.
    pub fn run(
        &self,
        cases: &[Case],
        mut sink: impl FnMut(&Line) -> io::Result<()>,
    ) -> io::Result<Totals> {
        let release = sys::process::kernel_release()?;
        sink(&Line::Hello {
            release,
            arch: ARCH.into(),
            cases: cases.len(),
        })?;
        let mut totals = Totals::default();
        std::thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            let mut running = 0;
            for case in cases {
                let others = if case.runs_alone() { 0 } else { JOBS - 1 };
                while running > others {
                    report(&ended, &mut totals, &mut sink)?;
                    running -= 1;
                }
                sink(&Line::Start {
                    name: case.name.into(),
                })?;
                let sender = sender.clone();
                scope.spawn(move || {
                    let started = Instant::now();
                    let verdict = self.run_case(case);
                    let seconds = started.elapsed().as_secs_f64();
                    // Nobody listens any more when the run has been given up.
                    let _ = sender.send(Ended {
                        name: case.name,
                        seconds,
                        verdict,
                    });
                });
                running += 1;
                while running > others {
                    report(&ended, &mut totals, &mut sink)?;
                    running -= 1;
                }
            }
            (0..running).try_for_each(|_| report(&ended, &mut totals, &mut sink))
        })?;
        sink(&Line::End(totals))?;
        Ok(totals)
    }

    /// Runs one case in a process of its own.
    fn run_case(&self, case: &Case) -> io::Result<Verdict> {
        // Files, not pipes: they can't fill up, and no process that the case left behind keeps them open.
        let mut report = tempfile::tempfile()?;
        let mut log = tempfile::tempfile()?;
        let mut command = Command::new(&self.program);
        command.arg("--run-case").arg(case.name);
        if self.env.alone {
            command.arg("--alone");
        }
        let mut child = command
            .args(self.env.targets.arguments(case.requires))
            .stdin(Stdio::null())
            .stdout(report.try_clone()?)
            .stderr(log.try_clone()?)
            .process_group(0)
            .spawn()?;
        let exit = self.wait(&mut child)?;
        // Whatever the case has started and left behind.
        sys::process::kill_group(child.id())?;

        let mut verdict = match exit {
            Exit::Itself(status) => judge(status, &read_all(&mut report)?),
            Exit::Killed(r#where) => Verdict::failed(format!(
                "no end within {} s, killed{}",
                self.timeout.as_secs_f64(),
                r#where
            )),
            Exit::Stuck(r#where) => Verdict::failed(format!(
                "no end within {} s, and killing it did nothing for {} s{}",
                self.timeout.as_secs_f64(),
                GRACE.as_secs(),
                r#where
            )),
        };
        if verdict.outcome == Outcome::Failed {
            let log = read_all(&mut log)?;
            if let (Some(reason), false) = (&mut verdict.reason, log.trim().is_empty()) {
                reason.push_str("\nIt printed:\n");
                reason.push_str(tail(log.trim_end(), LOG_TAIL));
            }
        }
        Ok(verdict)
    }

    fn wait(&self, child: &mut Child) -> io::Result<Exit> {
        if let Some(status) = child.wait_timeout(self.timeout)? {
            return Ok(Exit::Itself(status));
        }
        let r#where = where_it_waits(child.id());
        sys::process::kill_group(child.id())?;
        Ok(match child.wait_timeout(GRACE)? {
            Some(_) => Exit::Killed(r#where),
            None => Exit::Stuck(r#where),
        })
    }
}

/// A case that has ended.
struct Ended {
    name: &'static str,
    seconds: f64,
    verdict: io::Result<Verdict>,
}

/// Waits for a case to end and reports it.
fn report(
    ended: &Receiver<Ended>,
    totals: &mut Totals,
    sink: &mut impl FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let Ended {
        name,
        seconds,
        verdict,
    } = ended.recv().map_err(io::Error::other)?;
    let Verdict { outcome, reason } = verdict?;
    totals.count(outcome);
    sink(&Line::Case {
        name: name.into(),
        outcome,
        reason,
        seconds,
    })
}

/// How a case's process ended.
enum Exit {
    Itself(ExitStatus),
    /// Where it was in the kernel, or nothing.
    Killed(String),
    Stuck(String),
}

/// The kernel function that a process sleeps in, as an ending of a sentence; nothing when unknown.
fn where_it_waits(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/wchan")) {
        Ok(wchan) if !wchan.is_empty() && wchan != "0" => {
            format!("; it was in the kernel's {wchan}")
        }
        _ => String::new(),
    }
}

fn read_all(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last `length` bytes of a text, or a few less.
fn tail(text: &str, length: usize) -> &str {
    let mut start = text.len().saturating_sub(length);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// What a case's process writes to its standard output just before its end.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    outcome: Outcome,
    reason: Option<String>,
}

impl Verdict {
    fn failed(reason: String) -> Self {
        Self {
            outcome: Outcome::Failed,
            reason: Some(reason),
        }
    }
}

impl From<CaseResult> for Verdict {
    fn from(result: CaseResult) -> Self {
        match result {
            Ok(()) => Self {
                outcome: Outcome::Passed,
                reason: None,
            },
            Err(Stop::Fail(reason)) => Self::failed(reason),
            Err(Stop::Skip(reason)) => Self {
                outcome: Outcome::Skipped,
                reason: Some(reason),
            },
        }
    }
}

/// A verdict counts only from a process that ended as it should have: one that got through its case and
/// crashed on its way out has failed.
fn judge(status: ExitStatus, report: &str) -> Verdict {
    if let Some(signal) = status.signal() {
        return Verdict::failed(format!("killed by signal {signal}{}", signal_name(signal)));
    }
    let verdict = serde_json::from_str::<Verdict>(report);
    match (status.code(), verdict) {
        (Some(0), Ok(verdict)) if verdict.outcome != Outcome::Failed => verdict,
        (Some(1), Ok(verdict)) if verdict.outcome == Outcome::Failed => verdict,
        (Some(0), Err(_)) => Verdict::failed("exited in the middle of the case".into()),
        (Some(101), _) => Verdict::failed("panicked".into()),
        (code, _) => Verdict::failed(format!("exited with status {}", code.unwrap_or(-1))),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGALRM => " (SIGALRM)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGSYS => " (SIGSYS: a seccomp filter)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}

/// What the process of one case does: runs it and writes its verdict to the standard output, which is the
/// runner's file. It ends with status 1 if the case failed.
///
/// Run by hand, it is the way to have a case under a debugger or strace.
#[must_use]
pub fn run_one(case: &Case, env: &Env) -> ExitCode {
    // So that a run that is interrupted leaves no case behind.
    let verdict = match sys::process::end_with_parent() {
        Ok(()) => Verdict::from(case.execute(env)),
        Err(error) => Verdict::failed(format!("prctl: {error}")),
    };
    let written = serde_json::to_string(&verdict)
        .map_err(io::Error::from)
        .and_then(|line| writeln!(io::stdout(), "{line}"));
    match written {
        Ok(()) if verdict.outcome == Outcome::Failed => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the verdict {verdict:?} could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_verdict_counts_only_with_its_exit_status() {
        let passed = r#"{"outcome":"passed","reason":null}"#;
        let failed = r#"{"outcome":"failed","reason":"x.rs:1: no"}"#;
        let skipped = r#"{"outcome":"skipped","reason":"no disk"}"#;
        assert_eq!(judge(exit(0), passed).outcome, Outcome::Passed);
        assert_eq!(judge(exit(0), skipped).outcome, Outcome::Skipped);
        assert_eq!(judge(exit(1), failed).reason.as_deref(), Some("x.rs:1: no"));
        for (status, report, reason) in [
            (exit(1), passed, "exited with status 1"),
            (exit(0), failed, "exited with status 0"),
            (exit(101), passed, "panicked"),
            (exit(0), "", "exited in the middle of the case"),
            (
                exit(0),
                r#"{"outcome":"pas"#,
                "exited in the middle of the case",
            ),
            (
                ExitStatus::from_raw(11),
                passed,
                "killed by signal 11 (SIGSEGV)",
            ),
        ] {
            let verdict = judge(status, report);
            assert_eq!(verdict.outcome, Outcome::Failed, "{reason}");
            assert_eq!(verdict.reason.as_deref(), Some(reason));
        }
    }

    #[test]
    fn the_tail_starts_at_a_character() {
        assert_eq!(tail("abc", 10), "abc");
        assert_eq!(tail("abc", 2), "bc");
        assert_eq!(tail("aäb", 2), "b");
    }
}
