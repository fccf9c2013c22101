//! Conformance cases for Linux native AIO: what the kernel is supposed to answer, tried out.
//!
//! Each case is a small function with a name, a summary and what it requires; each runs in a process of its own.
//! The same program, `aio-conformance`, runs them in two places:
//!
//! - **On a host**, as a command: `aio-conformance [TARGET]...` works in the directories and on the block devices it
//!   is given (see `--help`), prints a line per case or, with `--json`, the lines of [`report`].
//! - **In a guest**, as `/init`: it mounts what it needs, loads modules, finds its disks, runs the cases, sends the
//!   lines of [`report`] through a virtio-serial port and switches the machine off; see [`guest`].
//!
//! What the cases require of a kernel is tried out, never guessed from its version; a case that lacks something says
//! what. Nothing that a case does - crash, hang, exit, leave a process behind - touches the others ([`runner`]).
//!
//! ```text
//! $ aio-conformance --case submit:: /var/tmp
//! 19 cases as x86_64 on Linux 6.12.41
//! submit::nothing ... passed (0.03 s)
//! submit::negative_count ... passed (0.04 s)
//! ...
//! $ aio-conformance --run-case submit::full       # in this process: for gdb and strace
//! ```
//!
//! # Adding a case
//!
//! Write a function in the file of its area under `src/cases/`, and name it in that file's list:
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
//! Break once what it looks for, and see it fail.

pub mod attack;
pub mod case;
pub mod cases;
pub mod env;
pub mod filter;
pub mod guest;
mod probe;
pub mod progress;
mod raw;
pub mod report;
pub mod runner;
pub mod saturate;
pub mod stop;
pub mod stress;
mod sys;
