//! A short run of the stress.

use std::time::Duration;

use crate::case::{Case, CaseResult, Stop};
use crate::check;
use crate::env::{Env, Requirement};
use crate::stress::{Config, run};

pub(super) const CASES: &[Case] = &[Case::new(
    "stress::short",
    "threads sharing queues find every block as it must be, for a second",
    &[Requirement::DirectIo],
    short,
)];

fn short(env: &Env) -> CaseResult {
    // On a busy emulated machine, a second can pass before the threads have begun.
    for seconds in [1, 4, 10] {
        let config = Config {
            time: Duration::from_secs(seconds),
            // Another one each time; a failure says which.
            seed: fastrand::u64(..),
            threads: 3,
            paths: vec![env.directory()?.to_owned()],
            // Less than a case may take.
            patience: Duration::from_secs(30),
        };
        let report = run(&config, |line| eprintln!("{line}"))?;
        check!(report.errors == 0, "{report}");
        if report.count.operations > 0 {
            return Ok(());
        }
    }
    Err(Stop::fail("nothing was done in 10 s"))
}
