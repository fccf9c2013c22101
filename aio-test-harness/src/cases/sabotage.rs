//! Cases that go wrong on purpose, each in its own way, for testing the program that runs them.

use std::time::Duration;

use crate::{
    case::{Case, CaseResult, Stop, skip},
    env::Env,
    sys::fork::{exit_now, fork},
};

/// The name says what goes wrong.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "sabotage::fails",
        "a case that fails on purpose",
        &[],
        fails,
    ),
    Case::new(
        "sabotage::skips",
        "a case that is skipped on purpose",
        &[],
        |_| skip("a reason"),
    ),
    Case::new(
        "sabotage::panics",
        "a case that panics on purpose",
        &[],
        panics,
    ),
    Case::new(
        "sabotage::crashes",
        "a case that crashes on purpose",
        &[],
        crashes,
    ),
    Case::new(
        "sabotage::hangs",
        "a case that hangs on purpose",
        &[],
        hangs,
    ),
    Case::new(
        "sabotage::exits",
        "a case that calls exit on purpose",
        &[],
        |_| exit_now(0),
    ),
    Case::new(
        "sabotage::leaves_a_child",
        "a case that leaves a process behind",
        &[],
        leaves_a_child,
    ),
];

fn fails(_: &Env) -> CaseResult {
    Err(Stop::fail("this case fails on purpose"))
}

fn panics(_: &Env) -> CaseResult {
    panic!("this case panics on purpose");
}

fn crashes(_: &Env) -> CaseResult {
    std::process::abort();
}

fn hangs(_: &Env) -> CaseResult {
    eprintln!("this case hangs on purpose");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn leaves_a_child(_: &Env) -> CaseResult {
    let child = fork(|| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    })?;
    eprintln!("{child:?}");
    // The case fails, so that its output is shown.
    Err(Stop::fail("the case leaves a child behind"))
}
