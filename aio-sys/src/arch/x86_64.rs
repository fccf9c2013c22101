//! `x86_64`, with 64-bit pointers or 32-bit ones (x32).

use core::arch::asm;

/// The contents of a register. On x32 this is wider than a pointer.
pub(crate) type Word = u64;

#[cfg(target_pointer_width = "64")]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 206;
    pub(crate) const IO_DESTROY: u32 = 207;
    pub(crate) const IO_GETEVENTS: u32 = 208;
    pub(crate) const IO_SUBMIT: u32 = 209;
    pub(crate) const IO_CANCEL: u32 = 210;
    pub(crate) const IO_PGETEVENTS: u32 = 333;
}

/// x32 has its own number for a call if the call reads a structure of 32-bit pointers or longs. The
/// other calls have the numbers of `x86_64`. Bit 30 is set in all of them.
///
/// `io_getevents` and `io_pgetevents` have no own number. So they take the structures of a 64-bit
/// process.
#[cfg(target_pointer_width = "32")]
mod numbers {
    const X32: u32 = 1 << 30;

    pub(crate) const IO_SETUP: u32 = X32 + 543;
    pub(crate) const IO_DESTROY: u32 = X32 + 207;
    pub(crate) const IO_GETEVENTS: u32 = X32 + 208;
    pub(crate) const IO_SUBMIT: u32 = X32 + 544;
    pub(crate) const IO_CANCEL: u32 = X32 + 210;
    pub(crate) const IO_PGETEVENTS: u32 = X32 + 333;
}

pub(crate) use numbers::*;

macro_rules! syscall {
    ($nr:expr $(, $register:tt = $arg:expr)*) => {{
        let result: i64;
        // SAFETY: `syscall` changes only rax, rcx and r11, which are all declared as outputs. The
        // kernel restores the flags from r11 and doesn't use the process's stack. The caller of
        // this function allows what the call does to memory.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") u64::from($nr) => result,
                $(in($register) $arg,)*
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result as isize
    }};
}

#[inline(always)]
pub(crate) unsafe fn syscall1(nr: u32, a: Word) -> isize {
    syscall!(nr, "rdi" = a)
}

#[inline(always)]
pub(crate) unsafe fn syscall2(nr: u32, a: Word, b: Word) -> isize {
    syscall!(nr, "rdi" = a, "rsi" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, "rdi" = a, "rsi" = b, "rdx" = c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, "rdi" = a, "rsi" = b, "rdx" = c, "r10" = d, "r8" = e)
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
    syscall!(
        nr,
        "rdi" = a,
        "rsi" = b,
        "rdx" = c,
        "r10" = d,
        "r8" = e,
        "r9" = f
    )
}
