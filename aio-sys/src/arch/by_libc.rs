//! Architectures without inline assembly in stable Rust (powerpc, mips, sparc): the C library's
//! `syscall` makes the calls.

use core::ffi::{c_int, c_long};

/// An argument of the C library's `syscall`.
pub(crate) type Word = usize;

#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 227;
    pub(crate) const IO_DESTROY: u32 = 228;
    pub(crate) const IO_GETEVENTS: u32 = 229;
    pub(crate) const IO_SUBMIT: u32 = 230;
    pub(crate) const IO_CANCEL: u32 = 231;
    pub(crate) const IO_PGETEVENTS: u32 = 388;
    #[cfg(target_arch = "powerpc")]
    pub(crate) const IO_PGETEVENTS_TIME64: u32 = 416;
}

/// o32.
#[cfg(any(target_arch = "mips", target_arch = "mips32r6"))]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 4241;
    pub(crate) const IO_DESTROY: u32 = 4242;
    pub(crate) const IO_GETEVENTS: u32 = 4243;
    pub(crate) const IO_SUBMIT: u32 = 4244;
    pub(crate) const IO_CANCEL: u32 = 4245;
    pub(crate) const IO_PGETEVENTS: u32 = 4368;
    pub(crate) const IO_PGETEVENTS_TIME64: u32 = 4416;
}

/// n64.
#[cfg(all(
    any(target_arch = "mips64", target_arch = "mips64r6"),
    target_pointer_width = "64"
))]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 5200;
    pub(crate) const IO_DESTROY: u32 = 5201;
    pub(crate) const IO_GETEVENTS: u32 = 5202;
    pub(crate) const IO_SUBMIT: u32 = 5203;
    pub(crate) const IO_CANCEL: u32 = 5204;
    pub(crate) const IO_PGETEVENTS: u32 = 5328;
}

/// n32.
#[cfg(all(
    any(target_arch = "mips64", target_arch = "mips64r6"),
    target_pointer_width = "32"
))]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 6200;
    pub(crate) const IO_DESTROY: u32 = 6201;
    pub(crate) const IO_GETEVENTS: u32 = 6202;
    pub(crate) const IO_SUBMIT: u32 = 6203;
    pub(crate) const IO_CANCEL: u32 = 6204;
    pub(crate) const IO_PGETEVENTS: u32 = 6332;
    pub(crate) const IO_PGETEVENTS_TIME64: u32 = 6416;
}

#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
mod numbers {
    pub(crate) const IO_SETUP: u32 = 268;
    pub(crate) const IO_DESTROY: u32 = 269;
    pub(crate) const IO_GETEVENTS: u32 = 272;
    pub(crate) const IO_SUBMIT: u32 = 270;
    pub(crate) const IO_CANCEL: u32 = 271;
    pub(crate) const IO_PGETEVENTS: u32 = 361;
    #[cfg(target_arch = "sparc")]
    pub(crate) const IO_PGETEVENTS_TIME64: u32 = 416;
}

pub(crate) use numbers::*;

/// Turns the result of `syscall` back into the kernel's return value.
#[inline]
fn as_the_kernel(result: c_long) -> isize {
    if result != -1 {
        return result as isize;
    }
    // SAFETY: the C library returns a valid pointer to this thread's errno.
    let errno: *mut c_int = unsafe { libc::__errno_location() };
    // SAFETY: `__errno_location` returned the pointer, so it is valid for reads, and the errno is
    // this thread's own, so no other thread writes to it.
    let errno = unsafe { errno.read() };
    -(errno as isize)
}

macro_rules! syscall {
    ($nr:expr $(, $arg:expr)*) => {
        // SAFETY: `syscall` takes any number and any words, and passes them on to the kernel. All
        // arguments are as wide as a register, as it requires. The caller of this function allows
        // what the call does to memory.
        as_the_kernel(unsafe { libc::syscall($nr as c_long $(, $arg as c_long)*) })
    };
}

#[inline(always)]
pub(crate) unsafe fn syscall1(nr: u32, a: Word) -> isize {
    syscall!(nr, a)
}

#[inline(always)]
pub(crate) unsafe fn syscall2(nr: u32, a: Word, b: Word) -> isize {
    syscall!(nr, a, b)
}

#[inline(always)]
pub(crate) unsafe fn syscall3(nr: u32, a: Word, b: Word, c: Word) -> isize {
    syscall!(nr, a, b, c)
}

#[inline(always)]
pub(crate) unsafe fn syscall5(nr: u32, a: Word, b: Word, c: Word, d: Word, e: Word) -> isize {
    syscall!(nr, a, b, c, d, e)
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
    syscall!(nr, a, b, c, d, e, f)
}
