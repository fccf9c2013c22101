//! The kernel's long: `__kernel_ulong_t` and `__kernel_long_t`.
//!
//! It is as wide as a pointer, except on x32: x32 has 32-bit pointers and a 64-bit kernel.

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "32")))]
pub(crate) type Ulong = usize;
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "32")))]
pub(crate) type Long = isize;

#[cfg(all(target_arch = "x86_64", target_pointer_width = "32"))]
pub(crate) type Ulong = u64;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "32"))]
pub(crate) type Long = i64;
