//! The entry point, and the system calls that aren't native AIO's.

use core::arch::{asm, global_asm};
use core::ffi::c_char;

// The stack pointer is where the arguments are, and is aligned as a call wants it; there is nothing
// to return to.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "call start",
    "ud2"
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "b start"
);

#[cfg(target_arch = "x86_64")]
mod nr {
    pub(super) const WRITE: usize = 1;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const OPENAT: usize = 257;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub(super) const OPENAT: usize = 56;
    pub(super) const WRITE: usize = 64;
    pub(super) const EXIT_GROUP: usize = 94;
}

const AT_FDCWD: isize = -100;
const EINTR: isize = 4;

/// Opens a file for reading.
///
/// # Safety
///
/// The path must end with a zero.
pub(crate) unsafe fn open(path: *const c_char) -> Option<i32> {
    const O_RDONLY: usize = 0;
    // SAFETY: the kernel reads the path up to its zero, and writes nothing.
    let fd = unsafe {
        call(
            nr::OPENAT,
            AT_FDCWD as usize,
            path.expose_provenance(),
            O_RDONLY,
        )
    };
    i32::try_from(fd).ok().filter(|fd| *fd >= 0)
}

/// Writes all the bytes.
pub(crate) fn write_all(fd: usize, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads the bytes, and writes nothing.
        let written = unsafe {
            call(
                nr::WRITE,
                fd,
                bytes.as_ptr().expose_provenance(),
                bytes.len(),
            )
        };
        if written == -EINTR {
            continue;
        }
        bytes = bytes.get(usize::try_from(written).ok()?..)?;
    }
    Some(())
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: the process ends here; no memory is used any more.
        unsafe { call(nr::EXIT_GROUP, status as usize, 0, 0) };
    }
}

/// A system call of three arguments.
///
/// # Safety
///
/// What the call does to memory must be allowed.
unsafe fn call(nr: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    // SAFETY: the registers that the kernel changes are given up, and it doesn't use the stack.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") nr,
            inlateout("x0") a => result,
            in("x1") b,
            in("x2") c,
            options(nostack),
        );
    }
    result
}
