//! `x86_64`, with 64-bit pointers or 32-bit ones (x32).

use core::arch::asm;

/// What a register holds. On x32 that is wider than a pointer.
pub(crate) type Word = u64;

/// The numbers of the system calls on this target.
pub mod nr {
    #[cfg(target_pointer_width = "32")]
    const X32: u32 = 0x4000_0000;

    /// The number of `io_setup`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_SETUP: u32 = 206;
    /// The number of `io_destroy`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_DESTROY: u32 = 207;
    /// The number of `io_getevents`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_GETEVENTS: u32 = 208;
    /// The number of `io_submit`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_SUBMIT: u32 = 209;
    /// The number of `io_cancel`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_CANCEL: u32 = 210;
    /// The number of `io_pgetevents`.
    #[cfg(target_pointer_width = "64")]
    pub const IO_PGETEVENTS: u32 = 333;
}

macro_rules! syscall {
    ($nr:expr $(, $register:tt = $arg:expr)*) => {{
        let result: i64;
        // SAFETY: `syscall` changes rax, rcx, r11 and nothing else of the process's registers (the kernel restores
        // the flags from r11), and doesn't touch the stack. What the kernel does to memory is the caller's to answer
        // for.
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
