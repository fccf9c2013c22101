//! aarch64 (arm64).

use core::arch::asm;

/// What a register holds.
pub(crate) type Word = usize;

/// The numbers of the system calls on this target.
pub mod nr {
    /// The number of `io_setup`.
    pub const IO_SETUP: u32 = 0;
    /// The number of `io_destroy`.
    pub const IO_DESTROY: u32 = 1;
    /// The number of `io_submit`.
    pub const IO_SUBMIT: u32 = 2;
    /// The number of `io_cancel`.
    pub const IO_CANCEL: u32 = 3;
    /// The number of `io_getevents`.
    pub const IO_GETEVENTS: u32 = 4;
    /// The number of `io_pgetevents`.
    pub const IO_PGETEVENTS: u32 = 292;
}

macro_rules! syscall {
    ($nr:expr, $a:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // SAFETY: the kernel returns with every general and floating-point register as it was but for x0, and
        // doesn't touch the stack. What it does to memory is the caller's to answer for.
        unsafe {
            asm!(
                "svc 0",
                in("x8") u64::from($nr),
                inlateout("x0") $a => result,
                $(in($register) $arg,)*
                options(nostack),
            );
        }
        result
    }};
}

#[inline(always)]
pub(crate) unsafe fn syscall1(nr: u32, a: Word) -> isize {
    syscall!(nr, a)
}

#[inline(always)]
pub(crate) unsafe fn syscall2(nr: u32, a: Word, b: Word) -> isize {
    syscall!(nr, a, "x1" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, "x1" = b, "x2" = c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, "x1" = b, "x2" = c, "x3" = d, "x4" = e)
}

#[inline(always)]
pub(crate) unsafe fn syscall6(
    nr: u32,
    a: Word,
    b: Word,
    c: Word,
    d: Word,
    e: Word,
    f: Word,
) -> isize {
    syscall!(nr, a, "x1" = b, "x2" = c, "x3" = d, "x4" = e, "x5" = f)
}
