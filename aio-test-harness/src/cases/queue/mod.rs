//! The queue of aio-safe on this kernel.

mod errors;
mod filters;
mod forbidden;
mod left;
mod process;
mod shared;
mod slots;
mod stalled;
mod support;
mod transfer;
mod waiting;
mod workers;

use crate::{case::Case, on::On};

/// The lists of all areas of the queue that are the same on each kernel.
pub(super) const ON_EACH: &[&[Case]] = &[
    transfer::CASES,
    errors::CASES,
    left::CASES,
    waiting::CASES,
    shared::CASES,
    slots::CASES,
    process::CASES,
];

/// The cases that are about one kernel, or that choose one by themselves.
pub(super) fn on_one() -> impl Iterator<Item = Case> {
    let threads = workers::CASES.iter().map(|case| case.on(On::Threads));
    let hybrid = workers::CASES.iter().map(|case| case.on(On::Hybrid));
    forbidden::CASES
        .iter()
        .copied()
        .chain(filters::CASES.iter().map(|case| case.on(On::Hybrid)))
        .chain(stalled::CASES.iter().map(|case| case.on(On::Hybrid)))
        .chain(threads.chain(hybrid))
}
