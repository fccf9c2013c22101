//! aarch64 (arm64).

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
        // SAFETY: the kernel preserves all general registers except x0, preserves the lower 128
        // bits of the vector registers, and doesn't use the process's stack. It may clear the other
        // SVE state (Documentation/arch/arm64/sve.rst, "System call behaviour"). The predicates and
        // the first-fault register are declared as clobbered. The upper bits of the vector
        // registers have no names, so a build for SVE declares the whole vector registers as
        // clobbered. The caller of this function allows what the call does to memory.
        unsafe {
            #[cfg(not(target_feature = "sve"))]
            asm!(
                "svc 0",
                in("x8") u64::from($nr),
                inlateout("x0") $a => result,
                $(in($register) $arg,)*
                out("p0") _, out("p1") _, out("p2") _, out("p3") _,
                out("p4") _, out("p5") _, out("p6") _, out("p7") _,
                out("p8") _, out("p9") _, out("p10") _, out("p11") _,
                out("p12") _, out("p13") _, out("p14") _, out("p15") _,
                out("ffr") _,
                options(nostack),
            );
            #[cfg(target_feature = "sve")]
            asm!(
                "svc 0",
                in("x8") u64::from($nr),
                inlateout("x0") $a => result,
                $(in($register) $arg,)*
                clobber_abi("C"),
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
