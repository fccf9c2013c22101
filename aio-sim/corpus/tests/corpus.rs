//! Each flaw is found, and good engines aren't accused.

use aio_sim::Campaign;
use aio_sim_corpus::{Flaw, Subject, trial};

/// In how many seeds each flaw has to be found.
const FOUND_IN: u64 = 1000;
/// How many seeds the good engines pass. `cargo xtask sim` runs more.
const PASSED: u64 = 500;

#[test]
fn each_flaw_is_found() {
    let mut missed = Vec::new();
    for flaw in Flaw::ALL {
        let campaign = Campaign::new(0..FOUND_IN).without_shrinking();
        let report = campaign.run(|builder| trial(Subject::with(flaw), builder));
        match report.failure() {
            Some(failure) => println!("{flaw:?}: seed {}: {}", failure.seed(), failure.message()),
            None => missed.push(flaw),
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn good_engines_are_not_accused() {
    for subject in Subject::GOOD {
        let report = Campaign::new(0..PASSED).run(|builder| trial(subject, builder));
        report.assert_passed();
        println!("{subject:?}\n{report}");
    }
}
