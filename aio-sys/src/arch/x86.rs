//! x86 (i386).
//!
//! `int 0x80` works on every processor. `sysenter` is faster, but it needs an address in the vDSO,
//! and the kernel tells that address only to the program's start-up code.

use core::arch::asm;

/// The contents of a register.
pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 245;
pub(crate) const IO_DESTROY: u32 = 246;
pub(crate) const IO_GETEVENTS: u32 = 247;
pub(crate) const IO_SUBMIT: u32 = 248;
pub(crate) const IO_CANCEL: u32 = 249;
pub(crate) const IO_PGETEVENTS: u32 = 385;
pub(crate) const IO_PGETEVENTS_TIME64: u32 = 416;

macro_rules! syscall {
    ($nr:expr $(, $register:tt = $arg:expr)*) => {{
        let result: isize;
        // SAFETY: `int 0x80` changes only eax, which is declared as an output, and the kernel
        // doesn't use the process's stack. The caller of this function allows what the call does to
        // memory.
        unsafe {
            asm!(
                "int 0x80",
                inlateout("eax") $nr => result,
                $(in($register) $arg,)*
                options(nostack),
            );
        }
        result
    }};
}

#[inline(always)]
pub(crate) unsafe fn syscall1(nr: u32, a: Word) -> isize {
    syscall!(nr, "ebx" = a)
}

#[inline(always)]
pub(crate) unsafe fn syscall2(nr: u32, a: Word, b: Word) -> isize {
    syscall!(nr, "ebx" = a, "ecx" = b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, "ebx" = a, "ecx" = b, "edx" = c)
}

// The fourth argument goes in esi and the sixth in ebp. LLVM can use esi as a base pointer and ebp
// as the frame pointer, and neither can be an operand then. So the assembly saves them on the
// stack. No register is left for their new values, so eax points to these values in memory.

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    let rest = [d, nr as Word];
    let result: isize;
    // SAFETY: eax points to the two words of `rest`, which are read before the system call, and the
    // pointer doesn't depend on esp. The pop restores esi. Assembly without `nostack` may push. The
    // kernel changes only eax, which is declared as an output. The caller of this function allows
    // what the call does to memory.
    unsafe {
        asm!(
            "push esi",
            "mov esi, dword ptr [eax]",
            "mov eax, dword ptr [eax + 4]",
            "int 0x80",
            "pop esi",
            inlateout("eax") rest.as_ptr() => result,
            in("ebx") a,
            in("ecx") b,
            in("edx") c,
            in("edi") e,
        );
    }
    result
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
    let rest = [d, f, nr as Word];
    let result: isize;
    // SAFETY: eax points to the three words of `rest`, which are read before the system call, and
    // the pointer doesn't depend on esp. The pops restore esi and ebp. Assembly without `nostack`
    // may push. The kernel changes only eax, which is declared as an output. The caller of this
    // function allows what the call does to memory.
    unsafe {
        asm!(
            "push ebp",
            "push esi",
            "mov esi, dword ptr [eax]",
            "mov ebp, dword ptr [eax + 4]",
            "mov eax, dword ptr [eax + 8]",
            "int 0x80",
            "pop esi",
            "pop ebp",
            inlateout("eax") rest.as_ptr() => result,
            in("ebx") a,
            in("ecx") b,
            in("edx") c,
            in("edi") e,
        );
    }
    result
}
