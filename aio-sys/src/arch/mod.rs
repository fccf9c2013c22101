//! The instructions of a system call and the numbers of the six calls, one file per architecture.
//!
//! Each file has a function for every count of arguments that is needed, and takes and returns plain words.
//! What holds for all of them:
//!
//! * The kernel reads and writes the process's memory, so the assembly is never `nomem`, `readonly` or `pure`: for the
//!   compiler, it may touch everything whose address has been exposed.
//! * A failure is a return value from -4095 to -1.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod this;

pub use this::nr;
pub(crate) use this::{Word, syscall1, syscall2, syscall3, syscall5, syscall6};
