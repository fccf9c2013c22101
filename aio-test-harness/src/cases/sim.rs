//! The simulated kernel itself, on this machine.

use aio_sim::golden;

use crate::{
    case::{Case, CaseResult},
    env::Env,
    stop::Stop,
};

pub(super) const CASES: &[Case] = &[Case::new(
    "sim::golden",
    "a simulated run is the same as on any other architecture, byte by byte",
    &[],
    is_the_same,
)];

fn is_the_same(_: &Env) -> CaseResult {
    golden::difference().map_or(Ok(()), |line| Err(Stop::fail(line)))
}
