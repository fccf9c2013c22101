//! loongarch64.

use core::arch::asm;

/// The contents of a register.
pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 0;
pub(crate) const IO_DESTROY: u32 = 1;
pub(crate) const IO_SUBMIT: u32 = 2;
pub(crate) const IO_CANCEL: u32 = 3;
pub(crate) const IO_GETEVENTS: u32 = 4;
pub(crate) const IO_PGETEVENTS: u32 = 292;

macro_rules! syscall {
    ($nr:expr, $a:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // SAFETY: the kernel may change $a0 and $t0 to $t8, which are all declared as outputs. It
        // preserves the other registers and doesn't use the process's stack. The caller of this
        // function allows what the call does to memory.
        unsafe {
            asm!(
                "syscall 0",
                in("$a7") $nr as usize,
                inlateout("$a0") $a => result,
                $(in($register) $arg,)*
                lateout("$t0") _, lateout("$t1") _, lateout("$t2") _,
                lateout("$t3") _, lateout("$t4") _, lateout("$t5") _,
                lateout("$t6") _, lateout("$t7") _, lateout("$t8") _,
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
    syscall!(nr, a, "$a1" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, "$a1" = b, "$a2" = c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, "$a1" = b, "$a2" = c, "$a3" = d, "$a4" = e)
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
    syscall!(nr, a, "$a1" = b, "$a2" = c, "$a3" = d, "$a4" = e, "$a5" = f)
}
