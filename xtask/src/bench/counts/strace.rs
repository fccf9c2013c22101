//! System calls, counted with strace.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{bench::program::COUNT, process};

/// Runs a command, and counts the system calls of all its threads by name.
pub(super) fn run(command: &Command, scratch: &Path) -> Result<BTreeMap<String, u64>> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(scratch);
    strace.arg(command.get_program()).args(command.get_args());
    process::output(&mut strace, COUNT)?;
    let text = fs::read_to_string(scratch).context("strace wrote no summary")?;
    parse(&text)
}

/// The calls in strace's summary.
fn parse(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    let mut rows = text
        .lines()
        .skip_while(|line| !line.starts_with("------"))
        .skip(1);
    for row in rows.by_ref().take_while(|row| !row.starts_with("------")) {
        // Share, seconds, time of a call, calls, errors if there were any, name.
        let words: Vec<&str> = row.split_whitespace().collect();
        let number = words.get(3).and_then(|word| word.parse().ok());
        match (number, words.last()) {
            (Some(number), Some(name)) if words.len() >= 5 => {
                calls.insert((*name).to_owned(), number);
            }
            _ => bail!("strace's summary has a row that isn't understood: {row}"),
        }
    }
    if calls.is_empty() {
        bail!("strace's summary names no system call");
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 98.21    0.021432         167       128           io_submit
  1.02    0.000223           9        23         2 openat
  0.77    0.000168           0       300       300 futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.021823          48       451       302 total
";

    #[test]
    fn the_summary_is_understood() {
        let calls = parse(SUMMARY).unwrap();
        let expected = [("futex", 300), ("io_submit", 128), ("openat", 23)];
        assert_eq!(calls, expected.map(|(name, n)| (name.to_owned(), n)).into());
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse("strace: ptrace: Operation not permitted\n").is_err());
        assert!(parse(&SUMMARY.replace("       128", "       xyz")).is_err());
    }
}
