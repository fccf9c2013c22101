//! arm (EABI), in ARM and Thumb mode.

use core::arch::asm;

/// What a register holds.
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
        // The number goes in r7, which is the frame pointer in Thumb mode and can't be an operand
        // there. So it is kept in another register meanwhile: in ARM mode that costs two moves, but
        // no stable `cfg` tells the modes apart.
        //
        // SAFETY: r7 is put back; the kernel changes r0, keeps the other registers and doesn't
        // touch the stack. `kept` is written while inputs are still needed, so it is an early
        // output and shares a register with none of them. For what the kernel does to memory, the
        // caller answers.
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
