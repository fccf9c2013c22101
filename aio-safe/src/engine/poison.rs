//! Memory in flight, under the address sanitizer (`cargo xtask asan`, which sets `--cfg aio_asan`).
//!
//! What a read is to fill is the kernel's until the read is over, and nobody may even look at it. So
//! it is poisoned for the program meanwhile; the kernel isn't checked. Sources of writes are left
//! alone: shared and static bytes may be read by anybody. Vectored reads are left alone, too.

#![allow(unsafe_code, reason = "calls the sanitizer")]

use std::ffi::c_void;

use aio_abi::{Iocb, Opcode};

unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
}

/// What a read is to fill.
fn target(iocb: &Iocb) -> Option<(*const c_void, usize)> {
    let start = std::ptr::with_exposed_provenance(iocb.aio_buf as usize);
    (iocb.aio_lio_opcode == Opcode::PREAD).then_some((start, iocb.aio_nbytes as usize))
}

/// Nobody but the kernel may touch the memory from now on.
pub(crate) fn poison(iocb: &Iocb) {
    if let Some((start, size)) = target(iocb) {
        // SAFETY: the memory is a buffer's, which this request owns.
        unsafe { __asan_poison_memory_region(start, size) }
    }
}

/// The memory is the program's again.
pub(crate) fn unpoison(iocb: &Iocb) {
    if let Some((start, size)) = target(iocb) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(start, size) }
    }
}
