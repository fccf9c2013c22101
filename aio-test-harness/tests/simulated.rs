//! The simulated kernel answers as the real one: each case that isn't in the list of differences
//! passes on it.

mod common;

use std::time::Duration;

use aio_test_harness::{
    case::Case,
    cases,
    on::On,
    report::{Line, Outcome},
};

/// How many cases the simulated kernel shares with real ones, at least.
const SHARED: usize = 120;

#[test]
fn each_case_passes_on_the_simulated_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let runner = common::runner(directory.path(), Duration::from_secs(30));
    let cases: Vec<Case> = cases::all().filter(|case| case.on == On::Sim).collect();
    let mut failed = Vec::new();
    let totals = runner
        .run(&cases, |line| {
            if let Line::Case {
                name,
                outcome: Outcome::Failed,
                reason,
                ..
            } = line
            {
                failed.push((name.clone(), reason.clone()));
            }
            Ok(())
        })
        .unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(totals.passed + totals.skipped, cases.len(), "{totals:?}");
    assert!(cases.len() >= SHARED, "{} cases", cases.len());
    // Where temporary files can't be direct, these cases are skipped.
    assert!(totals.passed >= SHARED - 20, "{totals:?}");
}
