//! The results of a run of guests: a table for people, JSON for programs.

use std::{fs, path::Path, process::ExitCode};

use aio_test_harness::report::{Outcome as CaseOutcome, Totals};
use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::guest::{Case, Outcome, Verdict, rounded};

/// How many lines of a console are shown.
const TAIL: usize = 25;

/// One guest's results.
#[derive(Debug, Serialize)]
pub(crate) struct Guest {
    pub(crate) arch: String,
    pub(crate) series: String,
    pub(crate) release: String,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    #[serde(serialize_with = "rounded")]
    pub(crate) seconds: f64,
    pub(crate) cases: Vec<Case>,
    #[serde(skip)]
    pub(crate) console: String,
    /// What QEMU itself printed.
    #[serde(skip)]
    pub(crate) qemu: String,
}

impl Guest {
    pub(crate) fn new(
        (arch, series, release): (&str, &str, &str),
        verdict: Verdict,
        seconds: f64,
        console: String,
    ) -> Self {
        Self {
            arch: arch.to_owned(),
            series: series.to_owned(),
            release: verdict.release.unwrap_or_else(|| release.to_owned()),
            outcome: verdict.outcome,
            reason: verdict.reason,
            totals: verdict.totals,
            seconds,
            cases: verdict.cases,
            console,
            qemu: String::new(),
        }
    }

    /// One line about it.
    pub(crate) fn line(&self) -> String {
        let Totals {
            passed,
            failed,
            skipped,
        } = self.totals;
        format!(
            "{:<12} {:<6} {:<28} {:<8} {passed:>6} {failed:>6} {skipped:>7} {:>7.1}",
            self.arch,
            self.series,
            self.release,
            self.outcome.name(),
            self.seconds,
        )
    }
}

/// All guests' results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) guests: Vec<Guest>,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    /// The kernels that were asked for and aren't available, with the reason, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unavailable: Vec<String>,
}

impl Report {
    pub(crate) fn new(guests: Vec<Guest>, unavailable: Vec<String>) -> Self {
        let mut totals = Totals::default();
        for guest in &guests {
            totals.passed += guest.totals.passed;
            totals.failed += guest.totals.failed;
            totals.skipped += guest.totals.skipped;
        }
        Self {
            guests,
            totals,
            unavailable,
        }
    }

    /// The command's exit status; an error that names the kernels if some weren't available.
    pub(crate) fn exit_code(&self) -> Result<ExitCode> {
        if !self.unavailable.is_empty() {
            bail!(not_available(&self.unavailable));
        }
        Ok(if self.all_passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Whether every guest passed. A run without guests has failed.
    pub(crate) fn all_passed(&self) -> bool {
        !self.guests.is_empty()
            && self
                .guests
                .iter()
                .all(|guest| guest.outcome == Outcome::Passed)
    }

    /// The failures, the table and the totals, in this order.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for guest in &self.guests {
            text += &failure(guest);
        }
        text += &format!(
            "\n{:<12} {:<6} {:<28} {:<8} {:>6} {:>6} {:>7} {:>7}\n",
            "arch", "series", "kernel", "outcome", "passed", "failed", "skipped", "seconds"
        );
        for guest in &self.guests {
            text += &guest.line();
            text.push('\n');
        }
        let passed = self
            .guests
            .iter()
            .filter(|guest| guest.outcome == Outcome::Passed)
            .count();
        text += &format!(
            "\n{passed} of {} guests passed; cases:\n",
            self.guests.len()
        );
        let Totals {
            passed,
            failed,
            skipped,
        } = self.totals;
        text += &format!("{passed} passed, {failed} failed, {skipped} skipped\n");
        text
    }

    /// What cases that passed have measured.
    pub(crate) fn notes(&self) -> String {
        let mut text = String::new();
        for guest in &self.guests {
            for case in &guest.cases {
                if let (CaseOutcome::Passed, Some(note)) = (case.outcome, &case.reason) {
                    let Guest { arch, release, .. } = guest;
                    text += &format!("{arch} {release}: {}: {note}\n", case.name);
                }
            }
        }
        text
    }

    /// What was printed in each guest, for guests that ran one program instead of the cases.
    pub(crate) fn printed(&self) -> String {
        let mut text = String::new();
        for guest in &self.guests {
            text += &format!("\n{} {}:\n", guest.arch, guest.release);
            let printed = guest.cases.iter().filter_map(|case| case.reason.as_deref());
            for line in printed.flat_map(str::lines) {
                text += &format!("  {line}\n");
            }
        }
        text
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    }
}

/// The error that ends a run for which some kernels weren't available.
pub(super) fn not_available(kernels: &[String]) -> String {
    format!("some kernels aren't available:\n  {}", kernels.join("\n  "))
}

/// Why a guest didn't pass: its failed cases and the end of its console. Empty if it passed.
fn failure(guest: &Guest) -> String {
    if guest.outcome == Outcome::Passed {
        return String::new();
    }
    let mut text = format!(
        "\n{} {} ({}): {}",
        guest.arch,
        guest.series,
        guest.release,
        guest.outcome.name()
    );
    if let Some(reason) = &guest.reason {
        text += &format!(": {reason}");
    }
    text.push('\n');
    for case in guest
        .cases
        .iter()
        .filter(|case| case.outcome == CaseOutcome::Failed)
    {
        let reason = case.reason.as_deref().unwrap_or("no reason given");
        text += &format!(
            "  FAILED {}: {}\n",
            case.name,
            reason.replace('\n', "\n    ")
        );
    }
    let lines: Vec<&str> = guest.console.lines().collect();
    text += "  the end of its console:\n";
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        text += &format!("  | {}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(outcome: Outcome, cases: &[(&str, CaseOutcome)]) -> Guest {
        let mut totals = Totals::default();
        let cases = cases
            .iter()
            .map(|&(name, outcome)| {
                totals.count(outcome);
                let reason = (outcome == CaseOutcome::Failed).then(|| "it broke".to_owned());
                Case {
                    name: name.to_owned(),
                    outcome,
                    reason,
                    seconds: 0.012_345,
                }
            })
            .collect();
        Guest {
            arch: "x86_64".into(),
            series: "5.10".into(),
            release: "5.10.0-32-cloud-amd64".into(),
            outcome,
            reason: None,
            totals,
            seconds: 4.099_999,
            cases,
            console: "first\nlast words\n".into(),
            qemu: String::new(),
        }
    }

    fn report(guests: Vec<Guest>) -> Report {
        Report::new(guests, Vec::new())
    }

    #[test]
    fn the_json_has_the_agreed_shape() {
        let report = report(vec![guest(Outcome::Passed, &[("a", CaseOutcome::Passed)])]);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!({
            "guests": [{
                "arch": "x86_64", "series": "5.10", "release": "5.10.0-32-cloud-amd64",
                "outcome": "passed", "reason": null,
                "passed": 1, "failed": 0, "skipped": 0, "seconds": 4.1,
                "cases": [{"name": "a", "outcome": "passed", "reason": null, "seconds": 0.012}],
            }],
            "passed": 1, "failed": 0, "skipped": 0,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn failures_are_shown_with_the_console() {
        let failed = guest(
            Outcome::Failed,
            &[("a", CaseOutcome::Passed), ("b", CaseOutcome::Failed)],
        );
        let report = report(vec![
            failed,
            guest(Outcome::Passed, &[("a", CaseOutcome::Passed)]),
        ]);
        let text = report.text();
        assert!(!report.all_passed());
        assert!(text.contains("  FAILED b: it broke\n"), "{text}");
        assert!(text.contains("  | last words\n"), "{text}");
        assert!(text.contains("1 of 2 guests passed"), "{text}");
        assert!(
            text.ends_with("\n2 passed, 1 failed, 0 skipped\n"),
            "{text}"
        );
    }

    #[test]
    fn only_guests_that_all_passed_are_a_success() {
        assert!(!report(Vec::new()).all_passed());
        let passed = || guest(Outcome::Passed, &[("a", CaseOutcome::Passed)]);
        assert!(report(vec![passed(), passed()]).all_passed());
        for outcome in [
            Outcome::Failed,
            Outcome::Timeout,
            Outcome::Panic,
            Outcome::Lost,
        ] {
            assert!(!report(vec![passed(), guest(outcome, &[])]).all_passed());
        }
    }

    #[test]
    fn a_kernel_that_is_not_available_is_an_error_and_in_the_report() {
        let passed = vec![guest(Outcome::Passed, &[("a", CaseOutcome::Passed)])];
        let why = "kernel series 7.0 isn't available";
        let report = Report::new(passed, vec![why.to_owned()]);
        let error = report.exit_code().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["unavailable"], serde_json::json!([why]));
        assert_eq!(json["passed"], 1);
    }
}
