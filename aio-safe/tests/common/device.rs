//! Touching memory that is in flight, as only a device may.

/// Lets a device touch memory that the queue has poisoned for everybody else. Memory that isn't
/// poisoned by the queue, as it was freed for example, is touched as it is: the sanitizer sees it.
#[cfg(aio_asan)]
pub(crate) fn as_device(start: *const u8, len: usize, touch: impl FnOnce()) {
    use std::ffi::c_void;

    /// What the sanitizer's memory says of eight bytes that the program itself has poisoned.
    const USER_POISONED: u32 = 0xf7;
    /// What it says of eight bytes that may be used up to one of them.
    const IN_PART: std::ops::Range<u32> = 1..8;

    unsafe extern "C" {
        fn __asan_region_is_poisoned(start: *mut c_void, size: usize) -> *mut c_void;
        fn __asan_get_shadow_mapping(scale: *mut usize, offset: *mut usize);
        fn __asan_poison_memory_region(start: *const c_void, size: usize);
        fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
    }

    // SAFETY: it looks at nothing but the sanitizer's own memory.
    let poisoned = unsafe { __asan_region_is_poisoned(start.cast_mut().cast(), len) };
    if poisoned.is_null() {
        return touch();
    }
    let (mut scale, mut offset) = (0, 0);
    // SAFETY: both are places for a size.
    unsafe { __asan_get_shadow_mapping(&raw mut scale, &raw mut offset) };
    let shadow = (poisoned.addr() >> scale) + offset;
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
    if state != USER_POISONED && !IN_PART.contains(&state) {
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
