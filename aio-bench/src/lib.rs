//! What `aio-bench` measures, and how it says what it measured: what the program and `cargo xtask bench`
//! share.

mod cell;
mod record;

pub use cell::{Cell, Sharing, Workload};
pub use record::{Percentiles, Record, Round};
