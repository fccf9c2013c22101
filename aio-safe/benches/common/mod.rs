//! What the benchmarks share.

mod kernel;

pub(crate) use kernel::Prompt;
