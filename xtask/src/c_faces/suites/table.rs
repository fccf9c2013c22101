//! The table of a suite.

use std::fmt::Write;

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{Ran, Suite, Verdict};
use crate::c_faces::group::End;

/// How many lines of a test's output are shown.
const TAIL: usize = 25;

/// A test's results.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) ours: Ran,
    pub(super) original: Option<Ran>,
    /// Why it isn't as it should be.
    pub(super) difference: Option<String>,
}

/// The table, the totals, and what the tests printed that differ.
pub(super) fn text(suite: &Suite, rows: &[Row<'_>]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header([
        "test", "ours", "original", "requests", "events", "seconds", "",
    ]);
    for row in rows {
        let original = row.original.as_ref();
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        table.add_row([
            row.name.to_owned(),
            words(suite, &row.ours),
            original.map_or("-".to_owned(), |ran| words(suite, ran)),
            count(row.ours.counts.map(|counts| counts.requests)),
            count(row.ours.counts.map(|counts| counts.events)),
            seconds(&row.ours, original),
            row.difference.clone().unwrap_or_default(),
        ]);
    }
    let mut text = format!("\n{}\n\n{table}\n", suite.title);
    let passed = |ran: &Ran| words(suite, ran).starts_with("passed");
    let ours = rows.iter().filter(|row| passed(&row.ours)).count();
    let originals = rows.iter().filter_map(|row| row.original.as_ref());
    let original = originals.filter(|ran| passed(ran)).count();
    let differ = rows.iter().filter(|row| row.difference.is_some()).count();
    let _ = writeln!(
        text,
        "{} tests: {ours} passed with our library, {original} with the original; {differ} wrong",
        rows.len()
    );
    for row in rows {
        if let Some(difference) = &row.difference {
            let _ = writeln!(text, "\n{}: {difference}\nwith our library:", row.name);
            text += &tail(&row.ours.said);
            if let Some(original) = &row.original {
                text += "with the original:\n";
                text += &tail(&original.said);
            }
        }
    }
    text
}

/// How a test ended, and how many checks of LTP's passed in it.
fn words(suite: &Suite, ran: &Ran) -> String {
    let end = match ran.end {
        End::Late => return format!("still running after {} s", ran.took.as_secs()),
        End::Signal(signal) => return format!("signal {signal}"),
        End::Exit(code) => match (suite.verdict)(code) {
            Verdict::Passed => "passed".to_owned(),
            Verdict::Skipped => "skipped".to_owned(),
            Verdict::Not(word) => format!("{word} ({code})"),
        },
    };
    let checks = ran.said.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "passed").then(|| words.next()?.parse::<u64>().ok())?
    });
    match checks {
        Some(checks) => format!("{end} {checks}"),
        None => end,
    }
}

fn seconds(ours: &Ran, original: Option<&Ran>) -> String {
    let ours = ours.took.as_secs_f64();
    match original {
        Some(original) => format!("{ours:.1} / {:.1}", original.took.as_secs_f64()),
        None => format!("{ours:.1}"),
    }
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let lines = &lines[lines.len().saturating_sub(TAIL)..];
    lines.iter().map(|line| format!("  {line}\n")).collect()
}
