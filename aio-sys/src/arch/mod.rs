//! The system call instruction and the numbers of the calls, one file per architecture.
//!
//! Each file has one function for each number of arguments that is needed. The functions take and
//! return plain words. All of them follow these rules:
//!
//! * The kernel reads and writes the process's memory. So the assembly is never `nomem`, `readonly`
//!   or `pure`, and the compiler assumes that it may access all memory whose address was exposed.
//! * A return value from -4095 to -1 is an error.
//! * They are `#[inline(always)]`, so that the instruction ends up in the caller of the public
//!   function. The crate's front page says why.
//! * They are `unsafe`. Their caller promises that the program allows what the system call reads
//!   and writes in the process's memory, during the call and, for requests, afterwards.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "x86", path = "x86.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "arm.rs")]
#[cfg_attr(
    any(target_arch = "riscv64", target_arch = "riscv32"),
    path = "riscv.rs"
)]
#[cfg_attr(target_arch = "loongarch64", path = "loongarch64.rs")]
#[cfg_attr(target_arch = "s390x", path = "s390x.rs")]
#[cfg_attr(
    any(
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6",
        target_arch = "sparc",
        target_arch = "sparc64"
    ),
    path = "by_libc.rs"
)]
#[cfg_attr(
    not(any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64",
        target_arch = "riscv32",
        target_arch = "loongarch64",
        target_arch = "s390x",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6",
        target_arch = "sparc",
        target_arch = "sparc64"
    )),
    path = "unsupported.rs"
)]
mod target;

pub(crate) use target::*;
