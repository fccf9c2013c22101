//! What kernels of aio-safe answer otherwise on purpose is answered otherwise: each case that the
//! list has for that reason fails, or is skipped.

mod common;

use std::time::Duration;

use aio_test_harness::{
    case::Case,
    cases,
    report::{Line, Outcome},
};

#[test]
fn what_is_answered_otherwise_fails() {
    let directory = tempfile::tempdir().unwrap();
    // Some of these cases wait for what never comes.
    let runner = common::runner(directory.path(), Duration::from_secs(5));
    let cases: Vec<Case> = cases::answered_otherwise().collect();
    let mut passed = Vec::new();
    let totals = runner
        .run(&cases, |line| {
            if let Line::Case { name, outcome, .. } = line {
                if *outcome == Outcome::Passed {
                    passed.push(name.clone());
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(passed.is_empty(), "not different: {passed:?}");
    assert!(totals.failed > 20, "{totals:?}");
}
