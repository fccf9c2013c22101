//! The verdicts of the runner on cases that go wrong, each in its own way, and the rest of the run.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use aio_test_harness::{
    case::Case,
    cases,
    env::Env,
    report::{Line, Outcome, Totals},
    runner::Runner,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aio-conformance");

/// Runs cases and returns the lines of the report, after checking the first and the last one.
fn run(cases: &[Case], timeout: Duration) -> (Vec<Line>, Totals) {
    let runner = Runner {
        program: PROGRAM.into(),
        env: Env::default(),
        timeout,
    };
    let mut lines = Vec::new();
    let totals = runner
        .run(cases, |line| {
            lines.push(line.clone());
            Ok(())
        })
        .expect("the runner works for all cases");
    assert!(matches!(lines.first(), Some(Line::Hello { cases: n, .. }) if *n == cases.len()));
    assert_eq!(lines.last(), Some(&Line::End(totals)));
    (lines, totals)
}

/// Runs one case and then one that passes. Returns the outcome and reason of the first one.
fn verdict(name: &str, timeout: Duration) -> (Outcome, String) {
    let case = cases::by_name(name).expect("there is such a case");
    let good = cases::by_name("setup::zero_requests").expect("there is such a case");
    let (lines, totals) = run(&[case, good], timeout);
    assert_eq!(totals.passed, 1, "the other case passes: {lines:?}");
    let found = lines.into_iter().find_map(|line| match line {
        Line::Case {
            name: of,
            outcome,
            reason,
            ..
        } if of == name => Some((outcome, reason)),
        _ => None,
    });
    let (outcome, reason) = found.expect("each case has its line");
    (outcome, reason.unwrap_or_default())
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_failure_has_its_line_and_reason() {
    let (outcome, reason) = verdict("sabotage::fails", LONG);
    assert_eq!(outcome, Outcome::Failed);
    assert!(reason.contains("sabotage.rs:"), "{reason}");
    assert!(reason.contains("this case fails on purpose"), "{reason}");
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        verdict("sabotage::skips", LONG),
        (Outcome::Skipped, "a reason".into())
    );
    let (outcome, reason) = verdict("direct::round_trip_512", LONG);
    assert_eq!(outcome, Outcome::Skipped);
    assert!(reason.contains("512-byte logical blocks"), "{reason}");
}

#[test]
fn a_panic_is_a_failure_with_its_message() {
    let (outcome, reason) = verdict("sabotage::panics", LONG);
    assert_eq!(outcome, Outcome::Failed);
    assert!(reason.starts_with("panicked"), "{reason}");
    assert!(reason.contains("this case panics on purpose"), "{reason}");
}

#[test]
fn a_crash_is_a_failure_with_its_signal() {
    let (outcome, reason) = verdict("sabotage::crashes", LONG);
    assert_eq!(
        (outcome, reason.as_str()),
        (Outcome::Failed, "killed by signal 6 (SIGABRT)")
    );
}

#[test]
fn leaving_in_the_middle_is_a_failure() {
    let (outcome, reason) = verdict("sabotage::exits", LONG);
    assert_eq!(
        (outcome, reason.as_str()),
        (Outcome::Failed, "exited before the end of the case")
    );
}

#[test]
fn a_hang_is_a_failure_after_its_time() {
    let started = Instant::now();
    let (outcome, reason) = verdict("sabotage::hangs", Duration::from_secs(1));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "took {:?}",
        started.elapsed()
    );
    assert_eq!(outcome, Outcome::Failed);
    assert!(
        reason.starts_with("the case took more than 1 s and was killed"),
        "{reason}"
    );
    assert!(reason.contains("this case hangs on purpose"), "{reason}");
}

#[test]
fn what_a_case_leaves_behind_is_killed() {
    let (outcome, reason) = verdict("sabotage::leaves_a_child", LONG);
    assert_eq!(outcome, Outcome::Failed);
    let pid = reason
        .split_once("Forked(")
        .and_then(|(_, rest)| rest.split_once(')'));
    let pid: u32 = pid
        .expect("the reason has the child's number")
        .0
        .parse()
        .unwrap();
    assert_gone(pid);
}

/// Waits until a process has ended. Its new parent, init, may take a while to wait for it.
fn assert_gone(pid: u32) {
    for _ in 0..100 {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(Duration::from_millis(50)),
            _ => return,
        }
    }
    panic!("the process {pid} is still there");
}

#[test]
fn a_case_ends_with_whoever_started_it() {
    let script = format!("{PROGRAM} --run-case sabotage::hangs >/dev/null 2>&1 & echo $!; sleep 1");
    let output = Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("there is a shell");
    let pid = String::from_utf8(output.stdout).unwrap();
    assert_gone(pid.trim().parse().unwrap());
}

#[test]
fn every_case_has_two_lines() {
    let some: Vec<Case> = cases::all()
        .filter(|case| case.name.starts_with("setup::"))
        .collect();
    let (lines, totals) = run(&some, LONG);
    assert_eq!(totals.passed + totals.skipped, some.len());
    for case in some {
        let starts = lines
            .iter()
            .filter(|l| matches!(l, Line::Start { name } if name == case.name));
        let ends = lines
            .iter()
            .filter(|l| matches!(l, Line::Case { name, .. } if name == case.name));
        assert_eq!((starts.count(), ends.count()), (1, 1), "{}", case.name);
    }
}

#[test]
fn a_sink_that_fails_ends_the_run() {
    let runner = Runner {
        program: PROGRAM.into(),
        env: Env::default(),
        timeout: LONG,
    };
    let all: Vec<Case> = cases::all().take(10).collect();
    let error = runner.run(&all, |line| match line {
        Line::Case { .. } => Err(std::io::Error::other("full")),
        _ => Ok(()),
    });
    assert_eq!(error.unwrap_err().to_string(), "full");
}

/// Runs the program. Returns standard output, standard error and exit status.
fn program(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[test]
fn the_program_lists_what_it_would_run() {
    let (list, _, status) = program(&["--list", "--case", "setup::"]);
    assert_eq!(status, Some(0));
    let (cases, table) = list.split_once("\n\n").expect("a table follows the cases");
    let names = cases
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect::<Vec<_>>();
    assert!(
        names.len() > 5 && names.iter().all(|name| name.starts_with("setup::")),
        "{list}"
    );
    assert!(
        cases.contains("    not on hybrid: the seam returns the handle"),
        "{list}"
    );
    let on = |suffix| names.iter().filter(|name| name.ends_with(suffix)).count();
    let (threads, hybrid, sim) = (on("@threads"), on("@hybrid"), on("@sim"));
    let native = names.len() - threads - hybrid - sim;
    let all = format!("{:12}{native:>8}{threads:>8}{hybrid:>8}{sim:>8}", "all");
    assert_eq!(table.lines().last(), Some(all.as_str()), "{list}");
}

#[test]
fn the_program_writes_json() {
    let (json, _, status) = program(&["--json", "--case", "setup::unreadable_handle"]);
    assert_eq!(status, Some(0));
    let lines: Vec<Line> = json
        .lines()
        .map(|line| line.parse().expect("a line"))
        .collect();
    assert!(
        matches!(
            &lines[..],
            [
                Line::Hello { cases: 1, .. },
                Line::Start { .. },
                Line::Case {
                    outcome: Outcome::Passed,
                    ..
                },
                Line::End(_)
            ]
        ),
        "{json}"
    );
}

#[test]
fn the_program_leaves_nothing_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (_, _, status) = program(&[path, "--case", "rw::"]);
    assert_eq!(status, Some(0));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn wrong_use_is_one_clear_line() {
    for (arguments, expected) in [
        (
            &["--case", "nothing like it"][..],
            "no case has \"nothing like it\" in its name",
        ),
        (
            &["/nowhere/at/all"],
            "/nowhere/at/all: No such file or directory",
        ),
        (
            &["/dev/null"],
            "/dev/null: neither a directory nor a block device",
        ),
        (&["--run-case", "none"], "no case is named \"none\""),
    ] {
        let (out, error, status) = program(arguments);
        assert_eq!((out.as_str(), status), ("", Some(2)), "{arguments:?}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_failed_case_is_exit_status_1() {
    let (_, _, status) = program(&["--run-case", "sabotage::fails"]);
    assert_eq!(status, Some(1));
}
