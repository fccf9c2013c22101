//! Lists of requests.

#![allow(unsafe_code, reason = "takes a C program's word for its addresses")]

use std::{ffi::c_int, sync::Arc};

use aio_safe::Errno;

use super::{
    block::{Aiocb, Block, Sigevent},
    calls::{fail, refuse_at, transfer},
    counters::{Count, count},
    memory,
    notify::notify,
    process::engine,
};
use crate::{
    engine::What,
    group::Group,
    progress::{PROGRESS, Waited},
    sigevent::Notify,
};

/// Begins the requests of a list, in their order. Null pointers and `LIO_NOP` are passed over. With
/// `LIO_WAIT` it waits until all are over. With `LIO_NOWAIT`, `sig` says how the program is told
/// when they are; it may be null.
///
/// Returns 0, or -1 with `errno`:
///
/// - EAGAIN: no memory, thread or descriptor was left for some requests, or there are too many
///   lists. With the latter nothing was begun.
/// - EINTR: a signal handler ran during `LIO_WAIT`. The requests go on.
/// - EINVAL: `mode` is another one, `nent` is negative, or an address is wrong. Nothing was begun.
/// - EIO: some requests weren't begun, or have failed during `LIO_WAIT`. [`aio_error`] tells of
///   each.
///
/// [`aio_error`]: super::aio_error
///
/// # Safety
///
/// As for [`aio_read`](super::aio_read), for each control block of the list. If something is at
/// the addresses, it is what the types say, and nobody writes it meanwhile.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn lio_listio(
    mode: c_int,
    list: *const *mut Aiocb,
    nent: c_int,
    sig: *mut Sigevent,
) -> c_int {
    // SAFETY: the caller promises what `lio_listio` requires.
    let done = unsafe { try_list(mode, list, nent, sig) };
    count(Count::Lists);
    match done {
        Ok(()) => 0,
        Err(errno) => fail(errno),
    }
}

/// # Safety
///
/// As for [`lio_listio`].
unsafe fn try_list(
    mode: c_int,
    list: *const *mut Aiocb,
    nent: c_int,
    sig: *mut Sigevent,
) -> Result<(), Errno> {
    let nent = usize::try_from(nent).map_err(|_| Errno::EINVAL)?;
    let waits = match mode {
        libc::LIO_WAIT => true,
        libc::LIO_NOWAIT => false,
        _ => return Err(Errno::EINVAL),
    };
    if nent > 0 && !(list.is_aligned() && memory::is_readable(list, nent * size_of::<usize>())) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the array is readable in its length, and nobody writes it, which the caller promises.
    let entry = |n: usize| unsafe { list.wrapping_add(n).read() };
    let entries = (0..nent).map(entry).filter(|entry| !entry.is_null());
    let mut begins = Vec::new();
    begins.try_reserve(nent).map_err(|_| Errno::EAGAIN)?;
    for entry in entries {
        let block = Block::at(entry).ok_or(Errno::EINVAL)?;
        // SAFETY: nobody writes it, which the caller promises.
        let copy = unsafe { block.copy() }.ok_or(Errno::EINVAL)?;
        match copy.aio_lio_opcode {
            libc::LIO_READ => begins.push((Some(What::Read), entry)),
            libc::LIO_WRITE => begins.push((Some(What::Write), entry)),
            libc::LIO_NOP => {}
            _ => begins.push((None, entry)),
        }
    }
    let told = match (waits, sig.is_null()) {
        (true, _) | (false, true) => Notify::None,
        (false, false) => {
            // SAFETY: all bits are a value of the type, and nobody writes it meanwhile.
            let event = unsafe { memory::read(sig) }.ok_or(Errno::EINVAL)?;
            // SAFETY: the caller promises what is required of the function and the attributes.
            unsafe { notify(&event) }
        }
    };
    let engine = engine()?;
    let member = Group::begin(&engine, told).ok_or(Errno::EAGAIN)?;
    let group = Arc::clone(&member.group);
    let mut errno = None;
    for (what, entry) in begins {
        let begun = match what {
            // SAFETY: the caller promises what is required of each request.
            Some(what) => unsafe { transfer(what, entry, true, Some(&member)) },
            None => refuse_at(entry),
        };
        errno = match (begun, errno) {
            (Err(Errno::EAGAIN), _) | (_, Some(Errno::EAGAIN)) => Some(Errno::EAGAIN),
            (Err(_), _) => Some(Errno::EIO),
            (Ok(()), errno) => errno,
        };
    }
    drop(member);
    if waits {
        match PROGRESS.wait(None, || group.is_over()) {
            Waited::Interrupted => return Err(Errno::EINTR),
            Waited::Reached | Waited::TimedOut => {}
        }
        if group.has_failed() {
            errno = errno.or(Some(Errno::EIO));
        }
    }
    errno.map_or(Ok(()), Err)
}
