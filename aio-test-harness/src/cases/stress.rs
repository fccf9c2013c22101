//! A short run of the stress.

use std::time::Duration;

use crate::{
    case::{Case, CaseResult},
    check,
    env::{Env, Requirement},
    stress::{Config, run},
};

pub(super) const CASES: &[Case] = &[Case::new(
    "stress::short",
    "threads sharing queues find every block as it must be, for half a second",
    &[Requirement::DirectIo],
    short,
)];

fn short(env: &Env) -> CaseResult {
    let config = Config {
        time: Duration::from_millis(500),
        // Another one each time; a failure says which.
        seed: fastrand::u64(..),
        threads: 3,
        paths: vec![env.directory()?.to_owned()],
        // Less than a case may take.
        patience: Duration::from_secs(30),
    };
    let report = run(&config, |line| eprintln!("{line}"))?;
    check!(report.errors == 0, "{report}");
    check!(report.count.operations > 0, "nothing was done");
    Ok(())
}
