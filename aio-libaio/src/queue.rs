//! The functions of libaio that aren't system calls.

#![allow(unsafe_code, reason = "passes on what C programs promise")]

use core::{
    ffi::{c_int, c_long},
    ptr,
};

use aio_abi::{AioContext, IoEvent, Iocb, Timespec};
use aio_sys::{Errno, GetEventsTimespec};

use crate::{
    by_libc::probe,
    kernel::{answer, io_destroy, io_getevents, io_setup},
};

/// What [`io_queue_run`] calls for an event: the context, the iocb, `res` and `res2`.
pub type IoCallback = unsafe extern "C" fn(AioContext, *mut Iocb, c_long, c_long);

/// Makes a context, as [`io_setup`]. `*ctxp` need not be 0 before.
///
/// Returns what [`io_setup`] returns, and `-EINVAL` also if `maxevents` is negative.
///
/// # Safety
///
/// `ctxp` is valid for reads and writes, or nothing is mapped there.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_queue_init(maxevents: c_int, ctxp: *mut AioContext) -> c_int {
    if maxevents <= 0 {
        return answer(Err(Errno::EINVAL));
    }
    // SAFETY: `ctxp` is valid for writes or nothing is mapped there, which the caller promises.
    if let Err(errno) = unsafe { probe(ctxp) } {
        return answer(Err(errno));
    }
    // SAFETY: the kernel has written there just now.
    unsafe { ctxp.write_unaligned(AioContext::NONE) };
    // SAFETY: `ctxp` is valid for reads and writes, which the caller promises.
    unsafe { io_setup(maxevents, ctxp) }
}

/// Destroys a context, as [`io_destroy`].
///
/// # Safety
///
/// As for [`io_destroy`].
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_queue_release(ctx: AioContext) -> c_int {
    // SAFETY: the caller promises what `io_destroy` requires.
    unsafe { io_destroy(ctx) }
}

/// Takes the events that are there, and calls the callback of each. Doesn't wait.
///
/// The callback is the address in the iocb's `aio_data`. An event whose `aio_data` is 0 is passed
/// over.
///
/// Returns 0, or a negative errno of [`io_getevents`].
///
/// # Safety
///
/// The `aio_data` of each request of this context is 0 or an [`IoCallback`], which may be called
/// with the request's iocb.
#[cfg_attr(aio_libaio, unsafe(no_mangle))]
pub unsafe extern "C" fn io_queue_run(ctx: AioContext) -> c_int {
    loop {
        let mut event = IoEvent::default();
        let mut now = Timespec::default();
        // SAFETY: there is room for one event, and the timeout is readable.
        let count = unsafe { io_getevents(ctx, 0, 1, &raw mut event, &raw mut now) };
        if count != 1 {
            return count;
        }
        let address = ptr::with_exposed_provenance::<()>(event.data as usize);
        // SAFETY: a null pointer is `None`, and the address of a function of this type is `Some`.
        // The caller promises that it is one of them.
        let callback = unsafe { core::mem::transmute::<*const (), Option<IoCallback>>(address) };
        let iocb = ptr::with_exposed_provenance_mut(event.obj as usize);
        if let Some(callback) = callback {
            // SAFETY: the function may be called with the iocb, which the caller promises.
            unsafe { callback(ctx, iocb, event.res as c_long, event.res2 as c_long) };
        }
    }
}

/// Checks the context and the timeout, and returns 0. It never waits, as the original doesn't: it
/// asks for 0 events.
///
/// # Safety
///
/// `timeout` is valid for reads or null, or nothing is mapped there.
#[cfg_attr(aio_libaio = "static", unsafe(no_mangle))]
#[cfg_attr(aio_libaio = "shared", unsafe(export_name = "io_queue_wait_0_4"))]
pub unsafe extern "C" fn io_queue_wait(ctx: AioContext, timeout: *mut GetEventsTimespec) -> c_int {
    // SAFETY: there is room for no event. `timeout` is readable, null or unmapped, which the caller
    // promises.
    unsafe { io_getevents(ctx, 0, 0, ptr::null_mut(), timeout) }
}
