//! The results of a run of guests: a table and a page for people, JSON and XML for programs.

mod grid;
mod junit;
mod page;
mod palette;
mod picture;
mod words;

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use aio_test_harness::{
    features::{self, Features},
    report::{Outcome as CaseOutcome, Totals},
};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use words::{count, time};

use super::guest::{Case, Outcome, Verdict, rounded};

/// How many lines of a console are shown.
const TAIL: usize = 25;

/// The storage of every guest so far.
pub(crate) const USUAL_STORAGE: &str = "virtio-blk";

fn is_usual(storage: &str) -> bool {
    storage == USUAL_STORAGE
}

fn usual() -> String {
    USUAL_STORAGE.to_owned()
}

/// One guest's results.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub(crate) arch: String,
    pub(crate) series: String,
    pub(crate) release: String,
    /// How its disks are attached. JSON has it where it isn't the usual one.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub(crate) storage: String,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    #[serde(serialize_with = "rounded")]
    pub(crate) seconds: f64,
    /// What its storages support, if the cases were run that find it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) features: Vec<Features>,
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
            storage: usual(),
            outcome: verdict.outcome,
            reason: verdict.reason,
            totals: verdict.totals,
            seconds,
            features: found_out(&verdict.cases),
            cases: verdict.cases,
            console,
            qemu: String::new(),
        }
    }

    /// What cases that passed have said, except what its storages support.
    fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let passed = |case: &&Case| case.outcome == CaseOutcome::Passed;
        let other = |case: &&Case| !case.name.starts_with(features::AREA);
        let cases = self.cases.iter().filter(passed).filter(other);
        cases.filter_map(|case| Some((case.name.as_str(), case.reason.as_deref()?)))
    }

    /// How long it took.
    pub(crate) fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// One line about it.
    pub(crate) fn line(&self) -> String {
        let Totals {
            passed,
            failed,
            skipped,
        } = self.totals;
        format!(
            "{:<12} {:<10} {:<28} {:<8} {passed:>6} {failed:>6} {skipped:>7} {:>7.1}",
            self.arch,
            self.series,
            self.release,
            self.outcome.name(),
            self.seconds,
        )
    }
}

/// What cases have found out about storages.
fn found_out(cases: &[Case]) -> Vec<Features> {
    let ask =
        |case: &&Case| case.name.starts_with(features::AREA) && case.outcome == CaseOutcome::Passed;
    let notes = cases
        .iter()
        .filter(ask)
        .filter_map(|case| case.reason.as_ref());
    notes.filter_map(|note| note.parse().ok()).collect()
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

    /// How many guests passed.
    fn passed(&self) -> usize {
        let passed = |guest: &&Guest| guest.outcome == Outcome::Passed;
        self.guests.iter().filter(passed).count()
    }

    /// The failures, the table and the totals, in this order.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for guest in &self.guests {
            text += &failure(guest);
        }
        text += &format!(
            "\n{:<12} {:<10} {:<28} {:<8} {:>6} {:>6} {:>7} {:>7}\n",
            "arch", "series", "kernel", "outcome", "passed", "failed", "skipped", "seconds"
        );
        for guest in &self.guests {
            text += &guest.line();
            text.push('\n');
        }
        let passed = self.passed();
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
            for (case, note) in guest.notes() {
                let Guest { arch, release, .. } = guest;
                text += &format!("{arch} {release}: {case}: {note}\n");
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

    /// Writes the page, the XML and the picture to a directory.
    pub(crate) fn write_to(&self, dir: &Path, about: &About) -> Result<()> {
        make(dir)?;
        let files = [
            ("index.html", page::text(self, about)),
            ("junit.xml", junit::text(self)?),
            ("grid.svg", picture::text(self)),
        ];
        for (name, text) in files {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Makes the directory of a report, if it is missing.
pub(crate) fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))
}

/// A run, as the page tells of it.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) started: DateTime<Utc>,
    pub(crate) took: Duration,
    /// What cases were picked by, if not all were.
    pub(crate) filter: Option<String>,
    /// How many guests' results are from a run that was interrupted.
    pub(crate) resumed: usize,
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Clock {
    started: DateTime<Utc>,
    since: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Utc::now(),
            since: Instant::now(),
        }
    }

    /// The run ends now.
    pub(crate) fn stop(&self, filter: Option<String>, resumed: usize) -> About {
        About {
            started: self.started,
            took: self.since.elapsed(),
            filter,
            resumed,
        }
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
pub(super) mod tests;
