//! The kernel's own idea of a long: `__kernel_ulong_t` and `__kernel_long_t`.
//!
//! As wide as a pointer everywhere but on x32, which has 32-bit pointers on a 64-bit kernel.

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "32")))]
pub(crate) type Ulong = usize;
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "32")))]
pub(crate) type Long = isize;

#[cfg(all(target_arch = "x86_64", target_pointer_width = "32"))]
pub(crate) type Ulong = u64;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "32"))]
pub(crate) type Long = i64;
