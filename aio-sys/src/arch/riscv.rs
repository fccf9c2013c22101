//! riscv64 and riscv32.

use core::arch::asm;

/// The contents of a register.
pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 0;
pub(crate) const IO_DESTROY: u32 = 1;
pub(crate) const IO_SUBMIT: u32 = 2;
pub(crate) const IO_CANCEL: u32 = 3;
#[cfg(target_arch = "riscv64")]
pub(crate) const IO_GETEVENTS: u32 = 4;
#[cfg(target_arch = "riscv64")]
pub(crate) const IO_PGETEVENTS: u32 = 292;
// riscv32 is newer than the calls with a 64-bit time, and has only those.
#[cfg(target_arch = "riscv32")]
pub(crate) const IO_PGETEVENTS_TIME64: u32 = 416;

macro_rules! syscall {
    ($nr:expr, $a:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // SAFETY: the kernel may change a0, all vector registers, vl and vtype
        // (Documentation/arch/riscv/vector.rst, "Vector Register State Across System Calls"). a0
        // and the vector registers are declared as outputs. vl and vtype count as clobbered because
        // `preserves_flags` isn't set. The kernel preserves the other registers and doesn't use the
        // process's stack. The caller of this function allows what the call does to memory.
        unsafe {
            asm!(
                "ecall",
                in("a7") $nr as usize,
                inlateout("a0") $a => result,
                $(in($register) $arg,)*
                lateout("v0") _, lateout("v1") _, lateout("v2") _, lateout("v3") _,
                lateout("v4") _, lateout("v5") _, lateout("v6") _, lateout("v7") _,
                lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
                lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
                lateout("v16") _, lateout("v17") _, lateout("v18") _, lateout("v19") _,
                lateout("v20") _, lateout("v21") _, lateout("v22") _, lateout("v23") _,
                lateout("v24") _, lateout("v25") _, lateout("v26") _, lateout("v27") _,
                lateout("v28") _, lateout("v29") _, lateout("v30") _, lateout("v31") _,
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
    syscall!(nr, a, "a1" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, "a1" = b, "a2" = c)
}

// Only `io_getevents` needs this function, and riscv32 doesn't have that call.
#[cfg(target_arch = "riscv64")]
#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, "a1" = b, "a2" = c, "a3" = d, "a4" = e)
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
    syscall!(nr, a, "a1" = b, "a2" = c, "a3" = d, "a4" = e, "a5" = f)
}
