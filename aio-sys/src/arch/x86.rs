//! x86 (i386).
//!
//! `int 0x80` works everywhere; the faster way in (`sysenter`, by the vDSO) would need the address
//! that the C library got at the start of the program.

use core::arch::asm;

/// What a register holds.
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
        // SAFETY: `int 0x80` changes eax and nothing else of the process's registers, and doesn't
        // touch the stack. For what the kernel does to memory, the caller answers.
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

// esi, the fourth argument's register, can be LLVM's base pointer and no operand then; ebp, the
// sixth's, can be the frame pointer. With both saved on the stack there is no register left to hold
// what goes in them, so it comes from memory, by eax.

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    let rest = [d, nr as Word];
    let result: isize;
    // SAFETY: `rest` is read before the call, through a pointer that is valid for both words. esi
    // is put back, and the stack is used as assembly may that isn't `nostack`; the pointer doesn't
    // depend on esp. For what the kernel does to memory, the caller answers.
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
    // SAFETY: as for `syscall5`, with ebp put back as well.
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
