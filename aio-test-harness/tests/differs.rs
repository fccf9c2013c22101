//! What kernels of aio-safe answer otherwise on purpose is answered otherwise: each case that the
//! list has for that reason fails, or is skipped.

use std::time::Duration;

use aio_test_harness::{
    case::Case,
    cases,
    env::{Env, Targets},
    report::{Line, Outcome},
    runner::Runner,
};

#[test]
fn what_is_answered_otherwise_fails() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner {
        program: env!("CARGO_BIN_EXE_aio-conformance").into(),
        env: Env {
            targets: Targets {
                directory: Some(directory.path().into()),
                ..Targets::default()
            },
            ..Env::default()
        },
        // Some of these cases wait for what never comes.
        timeout: Duration::from_secs(5),
    };
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
