//! Judging a guest by what was seen of it.

use aio_test_harness::report::{Line, Outcome as CaseOutcome, Totals};
use serde::{Deserialize, Serialize, Serializer};

use super::{End, Observed};

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It ran all cases, and none failed.
    Passed,
    /// It ran all cases, and some failed.
    Failed,
    /// It took too long and was killed.
    Timeout,
    /// Its kernel panicked.
    Panic,
    /// It ended without having reported all cases.
    Lost,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::Lost => "lost",
        }
    }
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) outcome: CaseOutcome,
    pub(crate) reason: Option<String>,
    #[serde(serialize_with = "rounded")]
    pub(crate) seconds: f64,
}

/// Seconds in a report: thousandths are enough.
pub(crate) fn rounded<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((seconds * 1000.0).round() / 1000.0)
}

/// The result of a guest's run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// Why it didn't pass, if failed cases aren't the reason.
    pub(crate) reason: Option<String>,
    /// The kernel's release, as the guest reported it.
    pub(crate) release: Option<String>,
    pub(crate) cases: Vec<Case>,
    pub(crate) totals: Totals,
}

/// What the kernel prints when it panics.
const PANIC: &str = "Kernel panic - not syncing";

impl Verdict {
    pub(crate) fn new(seen: &Observed) -> Self {
        let release = seen.lines.iter().find_map(|line| match line {
            Line::Hello { release, .. } => Some(release.clone()),
            _ => None,
        });
        let panic = seen.console.lines().find(|line| line.contains(PANIC));
        let running = running_case(&seen.lines);
        let (outcome, reason) = judge(seen, panic, running.as_deref());

        let mut cases = finished_cases(&seen.lines);
        if let Some(name) = running.filter(|_| outcome != Outcome::Passed) {
            let reason = Some(format!("the guest ended in it ({})", outcome.name()));
            cases.push(Case {
                name,
                outcome: CaseOutcome::Failed,
                reason,
                seconds: 0.0,
            });
        }
        let mut totals = Totals::default();
        for case in &cases {
            totals.count(case.outcome);
        }
        Self {
            outcome,
            reason,
            release,
            cases,
            totals,
        }
    }
}

/// The case that was running at the end.
fn running_case(lines: &[Line]) -> Option<String> {
    let mut running = None;
    for line in lines {
        match line {
            Line::Start { name } => running = Some(name.clone()),
            Line::Case { .. } | Line::End(_) => running = None,
            Line::Hello { .. } => {}
        }
    }
    running
}

fn finished_cases(lines: &[Line]) -> Vec<Case> {
    let case = |line: &Line| match line {
        Line::Case {
            name,
            outcome,
            reason,
            seconds,
        } => Some(Case {
            name: name.clone(),
            outcome: *outcome,
            reason: reason.clone(),
            seconds: *seconds,
        }),
        _ => None,
    };
    lines.iter().filter_map(case).collect()
}

fn judge(seen: &Observed, panic: Option<&str>, running: Option<&str>) -> (Outcome, Option<String>) {
    let during = running.map_or_else(String::new, |name| format!(", in case {name}"));
    // A panic is the cause of everything that comes after it.
    if let Some(line) = panic {
        let line = line.find(PANIC).map_or(line, |at| &line[at..]);
        return (Outcome::Panic, Some(format!("{}{during}", line.trim_end())));
    }
    let (outcome, reason) = match seen.end {
        End::TooLong(limit) => (
            Outcome::Timeout,
            format!("still running after {} s{during}", limit.as_secs()),
        ),
        End::Silent(limit) => (
            Outcome::Timeout,
            format!("silent for {} s{during}", limit.as_secs()),
        ),
        End::StillOn(limit) => (
            Outcome::Timeout,
            format!("still on {} s after its last case", limit.as_secs()),
        ),
        End::Interrupted => (Outcome::Lost, format!("interrupted{during}")),
        End::Exited(_) => match complete(seen) {
            Ok(()) => {
                let totals = totals(&seen.lines).unwrap_or_default();
                let passed = totals.failed == 0;
                return (
                    if passed {
                        Outcome::Passed
                    } else {
                        Outcome::Failed
                    },
                    None,
                );
            }
            Err(why) => (Outcome::Lost, format!("{why}{during}")),
        },
    };
    (outcome, Some(reason))
}

fn totals(lines: &[Line]) -> Option<Totals> {
    lines.iter().find_map(|line| match line {
        Line::End(totals) => Some(*totals),
        _ => None,
    })
}

/// Checks that a guest that ended by itself had run and reported all cases.
fn complete(seen: &Observed) -> Result<(), String> {
    match seen.end {
        End::Exited(status) if !status.success() => {
            return Err(format!("QEMU failed ({status}): {}", seen.qemu.trim()));
        }
        _ => {}
    }
    if let Some(text) = &seen.nonsense {
        return Err(format!("reported something that makes no sense: {text}"));
    }
    let announced = seen.lines.iter().find_map(|line| match line {
        Line::Hello { cases, .. } => Some(*cases),
        _ => None,
    });
    let Some(announced) = announced else {
        return Err("ended without having reported anything".to_owned());
    };
    let finished = finished_cases(&seen.lines);
    let mut counted = Totals::default();
    for case in &finished {
        counted.count(case.outcome);
    }
    let Some(totals) = totals(&seen.lines) else {
        return Err(format!(
            "ended after {} of {announced} cases without a word",
            finished.len()
        ));
    };
    if finished.len() != announced || totals != counted {
        return Err(format!(
            "reported {} of {announced} cases; it counted {totals:?} itself",
            finished.len()
        ));
    }
    if announced == 0 {
        return Err("no case has that in its name".to_owned());
    }
    Ok(())
}
