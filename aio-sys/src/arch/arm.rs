//! arm (EABI), in ARM and Thumb mode.

use core::arch::asm;

/// The contents of a register.
pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 243;
pub(crate) const IO_DESTROY: u32 = 244;
pub(crate) const IO_GETEVENTS: u32 = 245;
pub(crate) const IO_SUBMIT: u32 = 246;
pub(crate) const IO_CANCEL: u32 = 247;
pub(crate) const IO_PGETEVENTS: u32 = 399;
pub(crate) const IO_PGETEVENTS_TIME64: u32 = 416;

macro_rules! syscall {
    ($nr:expr, $a:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // The kernel takes the number from r7. In Thumb mode r7 is the frame pointer and can't be
        // an operand, so its value is kept in another register during the call. ARM mode doesn't
        // need these two moves, but no stable `cfg` tells the modes apart.
        //
        // SAFETY: the last instruction restores r7. The kernel changes only r0 and doesn't use the
        // process's stack. `kept` is written before the inputs are read, and it is declared as an
        // early output, so it shares no register with an input. The caller of this function allows
        // what the call does to memory.
        unsafe {
            asm!(
                "mov {kept}, r7",
                "mov r7, {nr}",
                "svc 0",
                "mov r7, {kept}",
                kept = out(reg) _,
                nr = in(reg) $nr,
                inlateout("r0") $a => result,
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
    syscall!(nr, a, "r1" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, "r1" = b, "r2" = c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, "r1" = b, "r2" = c, "r3" = d, "r4" = e)
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
    syscall!(nr, a, "r1" = b, "r2" = c, "r3" = d, "r4" = e, "r5" = f)
}
