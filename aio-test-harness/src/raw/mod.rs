//! The system calls for the cases: memory-safe, and with every argument, right or wrong.
//!
//! The kernel writes to buffers long after the call that named them. So the types in here keep one
//! rule: **memory that a request names is never unmapped** ([`Memory`]). A case's process ends soon
//! after it. A [`Request`] can't name any other memory that the kernel could write to.

#![allow(
    unsafe_code,
    reason = "makes the system calls; the cases use the safe types in here"
)]

mod arguments;
mod context;
mod memory;
mod request;
mod ring;
mod seam;

pub(crate) use arguments::{Mask, Timeout};
pub(crate) use context::{Context, setup_at};
pub(crate) use memory::Memory;
pub(crate) use request::Request;
pub(crate) use ring::Ring;
pub(crate) use seam::use_kernel;
