//! The system calls as the cases use them: nothing hidden, and still memory-safe.
//!
//! The kernel writes to buffers long after the call that named them, so the types in here keep one rule that the
//! cases needn't think about any more: **memory that a request names is never freed** ([`Memory`]). A case's
//! process ends soon after. [`Request`] has no way to name any other that the kernel could write to.

#![allow(
    unsafe_code,
    reason = "makes the system calls; the cases use the safe types in here"
)]

mod arguments;
mod context;
mod memory;
mod request;
mod ring;

pub(crate) use arguments::{Mask, Timeout};
pub(crate) use context::{Context, setup_at};
pub(crate) use memory::Memory;
pub(crate) use request::Request;
pub(crate) use ring::Ring;
