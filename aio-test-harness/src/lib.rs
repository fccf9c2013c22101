//! Conformance cases for Linux native AIO: they check the kernel's answers.
//!
//! Each case is a small function with a name, a summary and requirements. It runs in a process of
//! its own. The program `aio-conformance` runs the cases in two places:
//!
//! - **On a host** it is a command. `aio-conformance [TARGET]...` works in the given directory and
//!   on the given block devices (see `--help`). It prints a line for each case, or with `--json`
//!   the lines of [`report`].
//! - **In a guest** it is `/init`. It mounts file systems, loads modules, finds its disks and runs
//!   the cases. It sends the lines of [`report`] through a virtio-serial port, and switches the
//!   machine off: see [`guest`].
//!
//! The requirements of a case are probed, never guessed from the kernel's version. A skipped case
//! names what is missing. A case can crash, hang, exit or leave a process behind without harm to
//! the others: see [`runner`].
//!
//! ```text
//! $ aio-conformance --case submit:: /var/tmp
//! 52 cases as x86_64 on Linux 6.12.41
//! submit::nothing ... passed (0.03 s)
//! submit::negative_count ... passed (0.04 s)
//! ...
//! $ aio-conformance --run-case submit::full       # in this process: for gdb and strace
//! ```
//!
//! # Adding a case
//!
//! Write a function in the file of its area under `src/cases/`, and add it to that file's list:
//!
//! ```
//! use aio_test_harness::case::{Case, CaseResult};
//! use aio_test_harness::check_eq;
//! use aio_test_harness::env::Env;
//!
//! const CASES: &[Case] = &[Case::new(
//!     "example::arithmetic",
//!     "one and one is two",
//!     &[], // what it requires: see env::Requirement
//!     arithmetic,
//! )];
//!
//! fn arithmetic(_: &Env) -> CaseResult {
//!     check_eq!(1 + 1, 2);
//!     Ok(())
//! }
//!
//! # assert_eq!(CASES[0].execute(&Env::default()), Ok(()));
//! ```
//!
//! Break what it checks once, and see it fail.

pub mod attack;
pub mod case;
pub mod cases;
pub mod env;
pub mod features;
pub mod filter;
pub mod guest;
pub mod on;
mod probe;
pub mod progress;
mod raw;
pub mod report;
pub mod runner;
pub mod saturate;
mod simulated;
pub mod stop;
pub mod stress;
mod sys;
pub mod tally;
