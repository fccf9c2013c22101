//! The table of what the simulated kernel of `aio-sim` shares with real ones: `docs/parity.md`.
//!
//! Each case of single calls that runs on the simulated kernel is a line. A column is a guest, in
//! which the case ran on the guest's own kernel and on the simulated one.

use std::{fmt::Write, fs, path::Path};

use aio_test_harness::{
    case::Case,
    cases::{self, Kind},
    on::On,
    report::Outcome,
};
use anyhow::{Context, Result, ensure};

use super::report::{Guest, Report};

/// The fewest cases that the simulated kernel has to share with each kernel.
const SHARED: usize = 120;

/// Writes the table.
///
/// # Errors
///
/// A guest didn't pass, or shares fewer cases than [`SHARED`] cases.
pub(super) fn write(report: &Report, file: &Path) -> Result<()> {
    ensure!(
        report.all_passed(),
        "no table of parity: not every guest has passed"
    );
    let text = text(report)?;
    fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}

/// The cases that run on the simulated kernel.
fn simulated() -> impl Iterator<Item = Case> {
    cases::all().filter(|case| case.on == On::Sim)
}

fn text(report: &Report) -> Result<String> {
    let mut counts = Vec::new();
    for guest in &report.guests {
        let shared = simulated().filter(|case| is_shared(guest, case)).count();
        ensure!(
            shared >= SHARED,
            "{}: only {shared} cases are shared",
            guest.release
        );
        counts.push((guest, shared));
    }
    let mut text = String::from(HEAD);
    for (guest, shared) in counts {
        writeln!(
            text,
            "- Linux {} ({}): {shared} of {} cases",
            guest.release,
            guest.arch,
            simulated().count()
        )?;
    }
    text += "\n## Shared\n\n| case | what is true |";
    for guest in &report.guests {
        write!(text, " {} {} |", guest.arch, guest.series)?;
    }
    text += "\n|---|---|";
    text += &"---|".repeat(report.guests.len());
    text.push('\n');
    for case in simulated() {
        text += &first_columns(&case);
        for guest in &report.guests {
            write!(text, " {} |", cell(guest, &case))?;
        }
        text.push('\n');
    }
    text += &differences();
    Ok(text)
}

const HEAD: &str = "\
# What the simulated kernel shares with real ones

`cargo xtask qemu-test --arch x86_64 --kernel 5.10 --kernel newest --parity docs/parity.md` wrote
this. The conformance cases of `aio-test-harness` check what real kernels do. Those of single calls
that need no device also run on the simulated kernel of `aio-sim`, in the same guest. A case that
passes on one kernel and fails on the other fails the command.

These pass on both:

";

/// The columns of a case that need no guest.
fn first_columns(case: &Case) -> String {
    format!("| `{}` | {} |", case.name, case.summary)
}

/// The outcome of a case in a guest, and its reason.
fn outcome<'a>(guest: &'a Guest, name: &str) -> Option<(Outcome, Option<&'a str>)> {
    let case = guest.cases.iter().find(|case| case.name == name)?;
    Some((case.outcome, case.reason.as_deref()))
}

/// Whether a case passed on the guest's kernel and on the simulated one.
fn is_shared(guest: &Guest, case: &Case) -> bool {
    [case.name, &case.to_string()]
        .into_iter()
        .all(|name| matches!(outcome(guest, name), Some((Outcome::Passed, _))))
}

/// A text as a part of a table's line.
fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn cell(guest: &Guest, case: &Case) -> String {
    for name in [case.name, &case.to_string()] {
        match outcome(guest, name) {
            Some((Outcome::Passed, _)) => {}
            Some((_, Some(reason))) => return format!("not compared: {}", one_line(reason)),
            _ => return "didn't run".to_owned(),
        }
    }
    match outcome(guest, &case.to_string()) {
        Some((_, Some(note))) => format!("shared; {}", one_line(note)),
        _ => "shared".to_owned(),
    }
}

/// What isn't shared, and why.
fn differences() -> String {
    let differences: Vec<(Case, Kind, &str)> = cases::differences_of(On::Sim).collect();
    let mut text = format!(
        "\n## Different\n\nThese {} cases aren't run on the simulated kernel. A reason may name a \
         case that checks what is\ntrue instead. `cargo test -p aio-test-harness` runs the cases \
         with another answer on the simulated\nkernel, and fails if one of them passes.\n\n\
         | kind | reason | cases |\n|---|---|---|\n",
        differences.len()
    );
    for kind in Kind::ALL {
        let of_it = differences.iter().filter(|(_, of, _)| *of == kind);
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for (case, _, why) in of_it {
            let name = format!("`{}`", case.name);
            match reasons.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, names)) => names.push(name),
                None => reasons.push((why, vec![name])),
            }
        }
        for (reason, names) in reasons {
            let reason = match reason.split_once(": ") {
                Some((reason, instead)) => format!("{reason}: `{instead}`"),
                None => reason.to_owned(),
            };
            text += &format!("| {} | {reason} | {} |\n", kind.meaning(), names.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// The rest of the table needs guests.
    #[test]
    fn the_committed_table_has_the_cases_and_differences_that_there_are() {
        let file = workspace::root().join("docs/parity.md");
        let text = fs::read_to_string(file).unwrap();
        let (shared, _) = text.split_once("\n## Different\n").unwrap();
        assert!(text.starts_with(HEAD), "the head is another one");
        assert!(text.ends_with(&differences()), "the differences are others");
        let rows = shared.lines().filter(|line| line.starts_with("| `"));
        let rows: Vec<&str> = rows.collect();
        let cases: Vec<String> = simulated().map(|case| first_columns(&case)).collect();
        assert_eq!(rows.len(), cases.len(), "other cases");
        for (row, case) in rows.iter().zip(&cases) {
            assert!(row.starts_with(case), "{row}: not {case}");
        }
    }
}
