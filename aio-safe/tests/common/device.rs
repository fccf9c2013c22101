//! Touching memory that is in flight, as only a device may.

/// Lets a device touch memory that the queue has poisoned for everybody else. Memory that isn't
/// poisoned by the queue, as it was freed for example, is touched as it is: the sanitizer sees it.
#[cfg(aio_asan)]
pub(crate) fn as_device(start: *const u8, len: usize, touch: impl FnOnce()) {
    use std::ffi::c_void;

    /// What the sanitizer's memory says of bytes that the program itself has poisoned.
    const USER_POISONED: u32 = 0xf7;

    unsafe extern "C" {
        fn __asan_get_shadow_mapping(scale: *mut usize, offset: *mut usize);
        fn __asan_poison_memory_region(start: *const c_void, size: usize);
        fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
    }

    let (mut scale, mut offset) = (0, 0);
    // SAFETY: both are places for a size.
    unsafe { __asan_get_shadow_mapping(&raw mut scale, &raw mut offset) };
    let shadow = (start.addr() >> scale) + offset;
    let state: u32;
    // In assembly, as the sanitizer would check a plain access to its own memory.
    // SAFETY: the sanitizer has such a byte for every address that the program uses.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("movzx {:e}, byte ptr [{}]", out(reg) state, in(reg) shadow);
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("ldrb {:w}, [{}]", out(reg) state, in(reg) shadow);
    }
    if len == 0 || state != USER_POISONED {
        return touch();
    }
    // SAFETY: the queue has poisoned it, so it is a buffer's.
    unsafe { __asan_unpoison_memory_region(start.cast(), len) };
    touch();
    // SAFETY: as above.
    unsafe { __asan_poison_memory_region(start.cast(), len) };
}

#[cfg(not(aio_asan))]
pub(crate) fn as_device(_start: *const u8, _len: usize, touch: impl FnOnce()) {
    touch();
}
