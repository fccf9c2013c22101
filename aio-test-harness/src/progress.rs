//! A report as text, for people.

use std::io::{self, Write};

use crate::report::{Line, Outcome};

/// Writes a line of a report as text: a line for each case, the reason of each case that didn't
/// pass, and a summary.
///
/// # Errors
///
/// Those of writing to `out`.
pub fn show(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    match line {
        Line::Hello {
            release,
            arch,
            cases,
        } => {
            writeln!(out, "{cases} cases as {arch} on Linux {release}")?;
        }
        Line::Start { .. } => {}
        Line::Case {
            name,
            outcome,
            reason,
            seconds,
        } => {
            write!(out, "{name} ... {outcome}")?;
            match reason {
                Some(reason) if *outcome == Outcome::Skipped => writeln!(out, ": {reason}")?,
                Some(reason) => {
                    writeln!(out, " ({seconds:.2} s)")?;
                    for line in reason.lines() {
                        writeln!(out, "    {line}")?;
                    }
                }
                None => writeln!(out, " ({seconds:.2} s)")?,
            }
        }
        Line::End(totals) => writeln!(
            out,
            "{} passed, {} failed, {} skipped",
            totals.passed, totals.failed, totals.skipped
        )?,
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Totals;

    #[test]
    fn a_run_reads_as_text() {
        let mut out = Vec::new();
        let case = |outcome, reason: Option<&str>| Line::Case {
            name: "a::b".into(),
            outcome,
            reason: reason.map(str::to_owned),
            seconds: 0.5,
        };
        let start = || Line::Start {
            name: "a::b".into(),
        };
        for line in [
            Line::Hello {
                release: "6.1".into(),
                arch: "i686".into(),
                cases: 3,
            },
            start(),
            case(Outcome::Passed, None),
            start(),
            case(Outcome::Failed, Some("x.rs:1: no\nIt printed:\noops")),
            start(),
            case(Outcome::Skipped, Some("no disk")),
            Line::End(Totals {
                passed: 1,
                failed: 1,
                skipped: 1,
            }),
        ] {
            show(&mut out, &line).unwrap();
        }
        let text = "3 cases as i686 on Linux 6.1\n\
                    a::b ... passed (0.50 s)\n\
                    a::b ... failed (0.50 s)\n    x.rs:1: no\n    It printed:\n    oops\n\
                    a::b ... skipped: no disk\n\
                    1 passed, 1 failed, 1 skipped\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
