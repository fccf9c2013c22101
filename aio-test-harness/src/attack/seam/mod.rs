//! The little that the attack can't do in safe code: a kernel of its own behind the seam, and
//! forks.

#![allow(
    unsafe_code,
    reason = "implements an unsafe trait, and forks beside other threads"
)]

pub(super) mod fork;
pub(super) mod kernel;
