//! A shell takes QEMU's place: it writes a console and a report as a guest would, and ends as a
//! guest might.

use aio_test_harness::report::{Outcome as CaseOutcome, Totals};

use super::*;
use crate::qemu_test::report::{Guest, Report};

const HELLO: &str = r#"{"type":"hello","release":"6.1.0-test","arch":"x86_64","cases":2}"#;
const START: &str = r#"{"type":"start","name":"one"}"#;
const ONE: &str = r#"{"type":"case","name":"one","outcome":"passed","reason":null,"seconds":0.1}"#;
const TWO: &str =
    r#"{"type":"case","name":"two","outcome":"skipped","reason":"no disk","seconds":0}"#;
const TWO_BROKEN: &str =
    r#"{"type":"case","name":"two","outcome":"failed","reason":"on purpose","seconds":0}"#;
const END: &str = r#"{"type":"end","passed":1,"failed":0,"skipped":1}"#;
const END_BROKEN: &str = r#"{"type":"end","passed":1,"failed":1,"skipped":0}"#;

/// Long enough for a shell on a busy machine.
const PATIENT: Limits = Limits {
    wall: Duration::from_secs(60),
    silence: Duration::from_secs(60),
};

/// Runs a script in which `say LINE…` reports and `print TEXT` writes to the console.
fn guest(script: &str, limits: Limits) -> (Verdict, String) {
    let seen = seen(script, limits);
    (Verdict::new(&seen), seen.console)
}

/// The same, as it was seen.
fn seen(script: &str, limits: Limits) -> Observed {
    let dir = tempfile::tempdir().unwrap();
    let files = Files {
        dir: dir.path().to_owned(),
    };
    let prelude = format!(
        "say() {{ printf '%s\\n' \"$@\" >>'{}'; }}; print() {{ echo \"$@\" >>'{}'; }};",
        files.results().display(),
        files.console().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{prelude} {script}")]);
    run(&mut command, &files, limits, |_| ()).unwrap()
}

/// The same, as a report of this one guest has it.
fn report(script: &str, limits: Limits) -> Report {
    let (verdict, console) = guest(script, limits);
    let named = ("x86_64", "6.1", "unknown");
    Report::new(vec![Guest::new(named, verdict, 1.0, console)], Vec::new())
}

fn says(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("say '{line}'; ")).collect()
}

#[test]
fn a_guest_that_runs_all_cases_passes() {
    let report = report(
        &(says(&[HELLO, START, ONE, TWO, END]) + "print all well"),
        PATIENT,
    );
    assert!(report.all_passed());
    let guest = &report.guests[0];
    assert_eq!(guest.release, "6.1.0-test");
    assert_eq!(
        guest.totals,
        Totals {
            passed: 1,
            failed: 0,
            skipped: 1
        }
    );
    assert_eq!(guest.cases[1].reason.as_deref(), Some("no disk"));
    assert_eq!(guest.console, "all well\n");
}

#[test]
fn a_case_that_fails_makes_the_guest_fail() {
    let report = report(&says(&[HELLO, START, ONE, TWO_BROKEN, END_BROKEN]), PATIENT);
    assert_eq!(report.guests[0].outcome, Outcome::Failed);
    assert!(!report.all_passed());
    assert!(
        report.text().contains("FAILED two: on purpose"),
        "{}",
        report.text()
    );
}

#[test]
fn a_guest_that_hangs_is_ended() {
    let limits = Limits {
        wall: Duration::from_millis(800),
        ..PATIENT
    };
    let start = Instant::now();
    // The shell's child would hold nothing open that we wait for.
    let report = report(
        &(says(&[HELLO, START]) + "print the last words; exec sleep 600"),
        limits,
    );
    assert!(start.elapsed() < Duration::from_secs(30));
    let guest = &report.guests[0];
    assert_eq!(guest.outcome, Outcome::Timeout);
    assert!(guest.reason.as_ref().unwrap().contains("in case one"));
    assert_eq!(
        guest.cases[0].outcome,
        CaseOutcome::Failed,
        "the case that hung has failed"
    );
    assert!(!report.all_passed());
    assert!(report.text().contains("  | the last words\n"));
}

#[test]
fn a_guest_that_falls_silent_is_ended_before_its_time() {
    let limits = Limits {
        silence: Duration::from_millis(800),
        ..PATIENT
    };
    let (verdict, _) = guest(&(says(&[HELLO]) + "exec sleep 600"), limits);
    assert_eq!(verdict.outcome, Outcome::Timeout);
    assert!(verdict.reason.unwrap().starts_with("silent for"));
}

#[test]
fn a_word_now_and_then_is_no_silence() {
    let limits = Limits {
        silence: Duration::from_secs(2),
        ..PATIENT
    };
    let talk = "for i in 1 2 3 4 5 6; do print $i; sleep 0.5; done;";
    let (verdict, _) = guest(&(talk.to_owned() + &says(&[HELLO, ONE, TWO, END])), limits);
    assert_eq!(verdict.outcome, Outcome::Passed, "{:?}", verdict.reason);
}

#[test]
fn a_kernel_panic_is_a_panic() {
    let panic = "print '[    1.5] Kernel panic - not syncing: Attempted to kill init!'";
    let report = report(&(says(&[HELLO, START]) + panic), PATIENT);
    let guest = &report.guests[0];
    assert_eq!(guest.outcome, Outcome::Panic);
    assert_eq!(
        guest.reason.as_deref(),
        Some("Kernel panic - not syncing: Attempted to kill init!, in case one")
    );
    assert!(!report.all_passed());
}

#[test]
fn a_panic_after_the_end_is_one_too() {
    let lines = says(&[HELLO, ONE, TWO, END]);
    let (verdict, _) = guest(
        &(lines + "print 'Kernel panic - not syncing: late'"),
        PATIENT,
    );
    assert_eq!(verdict.outcome, Outcome::Panic);
}

#[test]
fn a_guest_that_dies_without_a_word_is_lost() {
    let report = report(&says(&[HELLO, START, ONE]), PATIENT);
    let guest = &report.guests[0];
    assert_eq!(guest.outcome, Outcome::Lost);
    assert_eq!(
        guest.reason.as_deref(),
        Some("ended after 1 of 2 cases without a word")
    );
    assert!(!report.all_passed());

    let (verdict, _) = self::guest("true", PATIENT);
    assert_eq!(verdict.outcome, Outcome::Lost);
    assert_eq!(
        verdict.reason.as_deref(),
        Some("ended without having reported anything")
    );
}

#[test]
fn only_a_crash_of_qemu_before_the_first_word_is_an_early_one() {
    let crashed = |script: &str| seen(script, PATIENT).qemu_crashed_early();
    assert!(crashed("print booting; kill -ABRT $$"));
    assert!(!crashed(&(says(&[HELLO]) + "kill -ABRT $$")));
    assert!(!crashed("exit 1"));
    assert!(!crashed(""));
    let silent = Limits {
        silence: Duration::from_millis(100),
        ..PATIENT
    };
    assert!(!seen("sleep 60", silent).qemu_crashed_early());
}

#[test]
fn an_end_that_does_not_add_up_is_lost() {
    for lines in [
        // A case is missing.
        vec![
            HELLO,
            ONE,
            r#"{"type":"end","passed":1,"failed":0,"skipped":0}"#,
        ],
        // The totals are of other cases.
        vec![HELLO, ONE, TWO_BROKEN, END],
        // A line is broken.
        vec![HELLO, ONE, r#"{"type":"case","na"#, TWO, END],
        // Nothing was run.
        vec![
            r#"{"type":"hello","release":"1","arch":"x86_64","cases":0}"#,
            r#"{"type":"end","passed":0,"failed":0,"skipped":0}"#,
        ],
    ] {
        let (verdict, _) = guest(&says(&lines), PATIENT);
        assert_eq!(verdict.outcome, Outcome::Lost, "{lines:?}");
    }
}

#[test]
fn what_qemu_says_when_it_fails_is_shown() {
    let (verdict, _) = guest("echo no such machine >&2; exit 1", PATIENT);
    assert_eq!(verdict.outcome, Outcome::Lost);
    let reason = verdict.reason.unwrap();
    assert!(
        reason.contains("exit status: 1") && reason.contains("no such machine"),
        "{reason}"
    );
}

#[test]
fn a_guest_that_stays_on_after_its_end_is_no_success() {
    let seen = Observed {
        lines: [HELLO, ONE, TWO, END]
            .map(|line| line.parse().unwrap())
            .into(),
        nonsense: None,
        end: End::StillOn(POWER_OFF),
        console: String::new(),
        qemu: String::new(),
        took: POWER_OFF,
    };
    let verdict = Verdict::new(&seen);
    assert_eq!(verdict.outcome, Outcome::Timeout);
    assert_eq!(
        verdict.reason.as_deref(),
        Some("still on 20 s after its last case")
    );
}
