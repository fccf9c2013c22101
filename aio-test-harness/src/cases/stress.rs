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
    "half a second of stress finds no wrong block",
    &[Requirement::DirectIo],
    short,
)];

fn short(env: &Env) -> CaseResult {
    let config = Config {
        time: Duration::from_millis(500),
        // The seed differs each time. A failure names it.
        seed: fastrand::u64(..),
        threads: 3,
        on: env.on,
        paths: vec![env.directory()?.to_owned()],
        // It is less than the time limit of a case.
        patience: Duration::from_secs(30),
    };
    let report = run(&config, |line| eprintln!("{line}"))?;
    check!(report.errors == 0, "{report}");
    check!(report.count.operations > 0, "nothing was done");
    Ok(())
}
