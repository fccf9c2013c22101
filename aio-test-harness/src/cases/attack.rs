//! A short run of the attack.

use std::time::Duration;

use crate::{
    attack::{Config, run},
    case::{Case, CaseResult},
    check,
    env::{Env, Requirement},
};

pub(super) const CASES: &[Case] = &[Case::new(
    "attack::short",
    "random calls on every handle, also from wakers and in forked children, do no harm",
    &[Requirement::Directory],
    short,
)];

fn short(env: &Env) -> CaseResult {
    let config = Config {
        // Another one each time; a failure says which.
        seed: fastrand::u64(..) >> 16,
        threads: 3,
        on: env.on,
        rounds: None,
        actions: Some(5000),
        time: None,
        // Less than a case may take.
        patience: Duration::from_secs(30),
        directory: env.directory()?.to_owned(),
    };
    let report = run(&config, |line| eprintln!("{line}"))?;
    check!(report.errors.is_empty(), "{report}");
    Ok(())
}
