//! Memory in flight, under the address sanitizer (`cargo xtask asan`, which sets `--cfg aio_asan`).
//!
//! What a read is to fill belongs to the kernel until the read is over, and nobody may even look at
//! it. What a write takes its bytes from may be looked at by everybody who shares it. If its type
//! is one that has a single owner, nobody else has it: the owner is in the slot. Both are poisoned
//! for the program meanwhile; the kernel isn't checked.

#![allow(
    unsafe_code,
    reason = "calls the sanitizer, and reads what a request points to"
)]

use std::{any::TypeId, ffi::c_void};

use aio_abi::{Iocb, IocbFlags, Iovec, Opcode};

use crate::{AlignedBuf, buf::Slice};

unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
}

/// Stands in the iocb of a write whose source has a single owner. The kernel ignores bits of
/// `aio_flags` that it doesn't know.
const OWNED: IocbFlags = IocbFlags::from_bits_retain(1 << 31);

/// The flags of a write whose sources are of this type. Types that the crate doesn't know may be
/// shared.
pub(crate) fn flags_of_source<B: 'static>() -> IocbFlags {
    fn is<A: 'static, B: 'static>() -> bool {
        let this = TypeId::of::<B>();
        this == TypeId::of::<A>() || this == TypeId::of::<Slice<A>>()
    }

    let mut owned =
        is::<Vec<u8>, B>() || is::<Box<[u8]>, B>() || is::<String, B>() || is::<AlignedBuf, B>();
    #[cfg(feature = "bytes")]
    {
        owned |= is::<bytes::BytesMut, B>();
    }
    if owned { OWNED } else { IocbFlags::empty() }
}

/// Tells the sanitizer of each part of the memory that is the request's alone while it is in
/// flight.
///
/// # Safety
///
/// The iocb is that of a slot, with its payload in it, and the caller is in charge of the slot.
/// `tell` is one of the two functions above.
unsafe fn each_part(iocb: &Iocb, tell: unsafe extern "C" fn(*const c_void, usize)) {
    let start = std::ptr::with_exposed_provenance::<c_void>(iocb.aio_buf as usize);
    let len = iocb.aio_nbytes as usize;
    let is_shared = !iocb.aio_flags.contains(OWNED);
    match iocb.aio_lio_opcode {
        Opcode::PWRITE | Opcode::PWRITEV if is_shared => {}
        Opcode::PREAD | Opcode::PWRITE => {
            // SAFETY: the memory is a buffer's, which the payload owns and keeps allocated.
            unsafe { tell(start, len) }
        }
        Opcode::PREADV | Opcode::PWRITEV => {
            // SAFETY: `place` put that many iovecs there, which the payload keeps as they are.
            let iovecs = unsafe { std::slice::from_raw_parts(start.cast::<Iovec>(), len) };
            for iovec in iovecs {
                // SAFETY: the memory is a buffer's, which the payload owns and keeps allocated.
                unsafe { tell(iovec.iov_base, iovec.iov_len) }
            }
        }
        _ => {}
    }
}

/// Nobody but the kernel may touch the memory from now on.
pub(crate) fn poison(iocb: &Iocb) {
    // SAFETY: slots alone call this, with their own iocb, when they start a request.
    unsafe { each_part(iocb, __asan_poison_memory_region) }
}

/// The memory is the program's again.
pub(crate) fn unpoison(iocb: &Iocb) {
    // SAFETY: slots alone call this, with their own iocb, before they take the payload out.
    unsafe { each_part(iocb, __asan_unpoison_memory_region) }
}
