//! The results as XML of the kind that `JUnit` writes, which build servers read.
//!
//! A guest is a suite. What went wrong with the guest itself is an error of a case that has the
//! suite's name, so a guest that died before its first case is an error, too.

use std::time::Duration;

use aio_test_harness::report::Outcome as CaseOutcome;
use anyhow::Result;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{Guest, Report, TAIL, words};
use crate::qemu_test::guest::{Case, Outcome};

pub(super) fn text(report: &Report) -> Result<String> {
    let mut all = quick_junit::Report::new("qemu-test");
    let mut took = Duration::ZERO;
    for guest in &report.guests {
        took += time(guest.seconds);
        all.add_test_suite(suite(guest));
    }
    all.set_time(took);
    let mut others: Vec<(&str, &str)> = Vec::new();
    for why in &report.unavailable {
        others.push(("kernel", why));
    }
    if report.guests.is_empty() {
        others.push(("guests", "no guest was booted"));
    }
    if !others.is_empty() {
        let mut suite = TestSuite::new("qemu-test");
        for (name, why) in others {
            suite.add_test_case(wrong("qemu-test", name, "not available", why));
        }
        all.add_test_suite(suite);
    }
    Ok(all.to_string()?)
}

fn suite(guest: &Guest) -> TestSuite {
    let name = format!("{} {} {}", guest.arch, guest.series, guest.storage);
    let mut suite = TestSuite::new(&*words::visible(&name));
    suite.set_time(time(guest.seconds));
    let properties = [
        ("arch", &guest.arch),
        ("series", &guest.series),
        ("storage", &guest.storage),
        ("release", &guest.release),
    ];
    for (name, value) in properties {
        suite.add_property((name, &*words::visible(value)));
    }
    let class = class(guest);
    if guest.outcome != Outcome::Passed {
        let (lines, _) = words::last_lines(&guest.console, TAIL);
        suite.set_system_out(&*words::visible(&lines.join("\n")));
    }
    // Failed cases say themselves what failed.
    if !matches!(guest.outcome, Outcome::Passed | Outcome::Failed) {
        let why = guest.reason.as_deref().unwrap_or("no reason is known");
        let name = suite.name.as_str().to_owned();
        suite.add_test_case(wrong(&class, &name, guest.outcome.name(), why));
    }
    suite.add_test_cases(guest.cases.iter().map(|one| case(&class, one)));
    suite
}

/// What cases are grouped by. Programs take the dots as levels.
fn class(guest: &Guest) -> String {
    let parts = [&guest.arch, &guest.series, &guest.storage];
    let parts = parts.map(|part| words::visible(part).replace('.', "_"));
    parts.join(".")
}

fn case(class: &str, case: &Case) -> TestCase {
    let reason = || words::visible(case.reason.as_deref().unwrap_or("no reason given"));
    let status = match case.outcome {
        CaseOutcome::Passed => TestCaseStatus::success(),
        CaseOutcome::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&*reason());
            status
        }
        CaseOutcome::Failed => failure(NonSuccessKind::Failure, "failed", &reason()),
    };
    let mut entry = TestCase::new(&*words::visible(&case.name), status);
    entry.set_classname(class).set_time(time(case.seconds));
    if let (CaseOutcome::Passed, Some(_)) = (case.outcome, &case.reason) {
        entry.set_system_out(&*reason());
    }
    entry
}

/// Something that went wrong and isn't a case.
fn wrong(class: &str, name: &str, kind: &str, why: &str) -> TestCase {
    let status = failure(NonSuccessKind::Error, kind, &words::visible(why));
    let mut entry = TestCase::new(name, status);
    entry.set_classname(class);
    entry
}

fn failure(kind: NonSuccessKind, name: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let first = why.lines().next().unwrap_or_default();
    status
        .set_type(name)
        .set_message(first)
        .set_description(why);
    status
}

/// A time that a guest reported may be nonsense.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
