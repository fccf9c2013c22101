//! Buffers in flight, under the address sanitizer (`cargo xtask asan`, which sets `--cfg
//! aio_asan`).
//!
//! While a read is in flight, only the kernel may use its buffer. So the buffer is *poisoned*: the
//! sanitizer reports each access by the program. It doesn't see the kernel's accesses.
//!
//! The program may read the buffer of a write, if it shares the buffer. If the buffer's type has a
//! single owner, that owner is in the slot, so the program doesn't share it. Then the buffer is
//! poisoned too.

#![allow(
    unsafe_code,
    reason = "calls the sanitizer, and reads what a request points to"
)]

use std::{any::TypeId, ffi::c_void};

use aio_abi::{Iocb, IocbFlags, Iovec, Opcode};

use crate::{
    AlignedBuf,
    buf::{PoolBuf, Slice},
};

unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
}

/// Set in the iocb of a write whose buffer has a single owner. The kernel ignores unknown bits of
/// `aio_flags`.
const OWNED: IocbFlags = IocbFlags::from_bits_retain(1 << 31);

/// The flag for a write from buffers of this type. Types that the crate doesn't know may be shared.
pub(crate) fn flags_of_source<B: 'static>() -> IocbFlags {
    fn is<A: 'static, B: 'static>() -> bool {
        let this = TypeId::of::<B>();
        this == TypeId::of::<A>() || this == TypeId::of::<Slice<A>>()
    }

    let mut owned = is::<Vec<u8>, B>()
        || is::<Box<[u8]>, B>()
        || is::<String, B>()
        || is::<AlignedBuf, B>()
        || is::<PoolBuf, B>();
    #[cfg(feature = "bytes")]
    {
        owned |= is::<bytes::BytesMut, B>();
    }
    if owned { OWNED } else { IocbFlags::empty() }
}

/// Calls `tell` for each part of memory that the program must not use while the request is in
/// flight.
///
/// # Safety
///
/// The iocb is a slot's, whose payload is in the slot. The caller is the slot's submitter, or has
/// its result. `tell` is one of the sanitizer's two functions.
unsafe fn each_part(iocb: &Iocb, tell: unsafe extern "C" fn(*const c_void, usize)) {
    let start = std::ptr::with_exposed_provenance::<c_void>(iocb.aio_buf as usize);
    let len = iocb.aio_nbytes as usize;
    let is_shared = !iocb.aio_flags.contains(OWNED);
    match iocb.aio_lio_opcode {
        Opcode::PWRITE | Opcode::PWRITEV if is_shared => {}
        Opcode::PREAD | Opcode::PWRITE => {
            // SAFETY: the memory is that of a buffer, which the payload owns and keeps allocated.
            unsafe { tell(start, len) }
        }
        Opcode::PREADV | Opcode::PWRITEV => {
            // SAFETY: the payload's `place` said that there are this many iovecs. The payload keeps
            // them as they are.
            let iovecs = unsafe { std::slice::from_raw_parts(start.cast::<Iovec>(), len) };
            for iovec in iovecs {
                // SAFETY: the memory is that of a buffer, which the payload owns and keeps
                // allocated.
                unsafe { tell(iovec.iov_base, iovec.iov_len) }
            }
        }
        _ => {}
    }
}

/// Marks the buffers as the kernel's.
pub(crate) fn poison(iocb: &Iocb) {
    // SAFETY: only slots call this, with their own iocb, when their submitter starts the request.
    unsafe { each_part(iocb, __asan_poison_memory_region) }
}

/// Marks the buffers as the program's again.
pub(crate) fn unpoison(iocb: &Iocb) {
    // SAFETY: only slots call this, with their own iocb: when their submitter takes `start` back,
    // or before the payload is taken out.
    unsafe { each_part(iocb, __asan_unpoison_memory_region) }
}
