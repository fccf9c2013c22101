//! Runs cases, each in a process of its own.
//!
//! Cases mostly wait, because each `io_destroy` takes some 30 ms. So a few run at the same time. A
//! case that needs a disk or the system-wide limits for itself runs alone.
//!
//! The runner starts the program again for each case, with a time limit. [`run_one`] is what that
//! process does. A crash, a hang or a call of `exit` fails this case and no other.

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
    stop, sys,
};

/// The number of cases that run at the same time.
const JOBS: usize = 4;

/// The time that a killed process may take to end. After it the process is stuck in the kernel.
const GRACE: Duration = Duration::from_secs(5);

/// The number of bytes of a failed case's output in its reason.
const LOG_TAIL: usize = 4000;

/// Runs cases.
#[derive(Debug)]
pub struct Runner {
    /// The conformance program. It is started as `program --run-case NAME [--alone] [TARGET]...`.
    pub program: PathBuf,
    /// The environment of the cases.
    pub env: Env,
    /// The time limit of each case.
    pub timeout: Duration,
}

impl Runner {
    /// Runs the cases, and passes each line of the report to `sink` as it comes, from
    /// [`Hello`](Line::Hello) to [`End`](Line::End).
    ///
    /// # Errors
    ///
    /// No process can be started, or `sink` fails. A case never causes an error.
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
                    name: case.to_string(),
                })?;
                let sender = sender.clone();
                scope.spawn(move || {
                    let started = Instant::now();
                    let verdict = self.run_case(case);
                    let seconds = started.elapsed().as_secs_f64();
                    // The receiver is gone when the run was given up.
                    let _ = sender.send(Ended {
                        name: case.to_string(),
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
        // Files can't fill up as pipes do, and no process that the case left behind keeps them
        // open.
        let mut report = tempfile::tempfile()?;
        let mut log = tempfile::tempfile()?;
        let mut command = Command::new(&self.program);
        command.arg("--run-case").arg(case.to_string());
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
        // Ends the processes that the case left behind.
        sys::process::kill_group(child.id())?;

        let mut verdict = match exit {
            Exit::Itself(status) => judge(status, &read_all(&mut report)?),
            Exit::Killed(r#where) => Verdict::failed(format!(
                "the case took more than {} s and was killed{}",
                self.timeout.as_secs_f64(),
                r#where
            )),
            Exit::Stuck(r#where) => Verdict::failed(format!(
                "the case took more than {} s, and was still there {} s after it was killed{}",
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
    name: String,
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
        name,
        outcome,
        reason,
        seconds,
    })
}

/// The end of a case's process.
enum Exit {
    Itself(ExitStatus),
    /// Where the process was in the kernel, or nothing.
    Killed(String),
    Stuck(String),
}

/// The kernel function in which a process sleeps, as the end of a sentence. It is empty when
/// unknown.
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

/// The last bytes of a text: at most `length`, and from the start of a character.
fn tail(text: &str, length: usize) -> &str {
    let mut start = text.len().saturating_sub(length);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// The line that a case's process writes to its standard output before it ends.
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
                reason: stop::noted(),
            },
            Err(Stop::Fail(reason)) => Self::failed(reason),
            Err(Stop::Skip(reason)) => Self {
                outcome: Outcome::Skipped,
                reason: Some(reason),
            },
        }
    }
}

/// The verdict counts only if the process ended as it should. A process that crashes after its case
/// has failed.
fn judge(status: ExitStatus, report: &str) -> Verdict {
    if let Some(signal) = status.signal() {
        return Verdict::failed(format!("killed by signal {signal}{}", signal_name(signal)));
    }
    let verdict = serde_json::from_str::<Verdict>(report);
    match (status.code(), verdict) {
        (Some(0), Ok(verdict)) if verdict.outcome != Outcome::Failed => verdict,
        (Some(1), Ok(verdict)) if verdict.outcome == Outcome::Failed => verdict,
        (Some(0), Err(_)) => Verdict::failed("exited before the end of the case".into()),
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

/// Runs one case in this process, and writes its verdict to the standard output, which is the
/// runner's file. The exit status is 1 if the case failed.
///
/// This is also the way to run a case under a debugger or strace.
#[must_use]
pub fn run_one(case: &Case, env: &Env) -> ExitCode {
    // An interrupted run leaves no case behind.
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
            (exit(0), "", "exited before the end of the case"),
            (
                exit(0),
                r#"{"outcome":"pas"#,
                "exited before the end of the case",
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
