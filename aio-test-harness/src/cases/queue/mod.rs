//! The queue of aio-safe on this kernel.

mod errors;
mod forbidden;
mod left;
mod process;
mod shared;
mod slots;
mod support;
mod transfer;
mod waiting;

use crate::case::Case;

/// The lists of all areas of the queue.
pub(super) const CASES: &[&[Case]] = &[
    transfer::CASES,
    errors::CASES,
    left::CASES,
    waiting::CASES,
    shared::CASES,
    slots::CASES,
    process::CASES,
    forbidden::CASES,
];
