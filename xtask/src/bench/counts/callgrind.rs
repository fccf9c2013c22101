//! Instructions in user space, counted with valgrind's callgrind.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{bench::program::COUNT, process};

/// Runs a command, and counts the instructions of all its threads.
pub(super) fn run(command: &Command, scratch: &Path) -> Result<u64> {
    let mut out = scratch.as_os_str().to_owned();
    let mut valgrind = Command::new("valgrind");
    out = [std::ffi::OsStr::new("--callgrind-out-file="), &out]
        .into_iter()
        .collect();
    valgrind
        .arg("--tool=callgrind")
        .arg(out)
        .arg(command.get_program())
        .args(command.get_args());
    process::output(&mut valgrind, COUNT)?;
    let text = fs::read_to_string(scratch).context("callgrind wrote no profile")?;
    parse(&text).context("callgrind's profile has no total")
}

/// The total in callgrind's profile.
fn parse(text: &str) -> Option<u64> {
    // Without further options callgrind counts only instructions.
    text.lines()
        .any(|line| line.trim() == "events: Ir")
        .then_some(())?;
    let total = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    total("totals:").or_else(|| total("summary:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        let profile = "# callgrind format\nversion: 1\nevents: Ir\nsummary: 3\n\n\
                       fn=(1) main\n10 7\n\ntotals: 1234567\n";
        assert_eq!(parse(profile), Some(1_234_567));
        assert_eq!(parse("events: Ir\nsummary: 99\n"), Some(99));
    }

    #[test]
    fn other_events_are_not_taken_for_instructions() {
        assert_eq!(parse("events: Ir Dr Dw\ntotals: 1 2 3\n"), None);
        assert_eq!(parse(""), None);
    }
}
