//! The entry point, and the system calls other than native AIO.

use core::{
    arch::{asm, global_asm},
    ffi::c_char,
};

// At the start of the process the stack pointer is the address of the arguments, and it is aligned
// for a call. There is no caller to return to.
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
/// `path` must be valid for reads up to a zero byte.
pub(crate) unsafe fn open(path: *const c_char) -> Option<i32> {
    const O_RDONLY: usize = 0;
    // SAFETY: the kernel writes nothing, and reads the path up to its zero byte. The caller
    // promises that the path is valid for this.
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
        // SAFETY: the kernel writes nothing, and reads `bytes`, which is a valid slice.
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
        // SAFETY: the call ends the process and accesses no memory of it.
        unsafe { call(nr::EXIT_GROUP, status as usize, 0, 0) };
    }
}

/// A system call of three arguments.
///
/// # Safety
///
/// The memory that the system call reads and writes must be valid for this.
unsafe fn call(nr: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    // SAFETY: `syscall` changes only rax, rcx and r11, which are declared as outputs, and the
    // kernel doesn't use the stack. The caller promises that the memory is valid for the call.
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
    // SAFETY: the kernel changes only x0, which is declared as an output, and doesn't use the
    // stack. The caller promises that the memory is valid for the call.
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
