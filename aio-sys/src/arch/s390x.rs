//! s390x.

use core::arch::asm;

/// The contents of a register.
pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 243;
pub(crate) const IO_DESTROY: u32 = 244;
pub(crate) const IO_GETEVENTS: u32 = 245;
pub(crate) const IO_SUBMIT: u32 = 246;
pub(crate) const IO_CANCEL: u32 = 247;
pub(crate) const IO_PGETEVENTS: u32 = 382;

macro_rules! syscall {
    ($nr:expr, $a:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // SAFETY: `svc 0` takes the number from r1. The kernel changes only r2, which is declared
        // as an output, and doesn't use the process's stack. The caller of this function allows
        // what the call does to memory.
        unsafe {
            asm!(
                "svc 0",
                in("r1") u64::from($nr),
                inlateout("r2") $a => result,
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
    syscall!(nr, a, "r3" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, "r3" = b, "r4" = c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, "r3" = b, "r4" = c, "r5" = d, "r6" = e)
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
    syscall!(nr, a, "r3" = b, "r4" = c, "r5" = d, "r6" = e, "r7" = f)
}
