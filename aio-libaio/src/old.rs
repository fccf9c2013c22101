//! The functions as they were in version 0.1. Programs that were linked then still ask for them.
//! The header doesn't have them.

#![allow(unsafe_code, reason = "passes on what C programs promise")]

use core::ffi::{c_int, c_long};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::GetEventsTimespec;

use crate::{
    kernel::{io_cancel, io_getevents},
    queue::io_queue_wait,
};

/// `io_cancel@LIBAIO_0.1`: [`io_cancel`] that keeps the event to itself.
///
/// # Safety
///
/// `iocb` is valid for reads, or nothing is mapped there.
#[cfg_attr(aio_libaio = "shared", unsafe(no_mangle))]
pub unsafe extern "C" fn io_cancel_0_1(ctx: AioContext, iocb: *mut Iocb) -> c_int {
    let mut event = IoEvent::default();
    // SAFETY: `event` is writable, and `iocb` is readable or unmapped, which the caller promises.
    unsafe { io_cancel(ctx, iocb, &raw mut event) }
}

/// `io_getevents@LIBAIO_0.1`: [`io_getevents`] that waits for one event at least.
///
/// # Safety
///
/// As for [`io_getevents`].
#[cfg_attr(aio_libaio = "shared", unsafe(no_mangle))]
pub unsafe extern "C" fn io_getevents_0_1(
    ctx: AioContext,
    nr: c_long,
    events: *mut IoEvent,
    timeout: *const GetEventsTimespec,
) -> c_int {
    // SAFETY: the caller promises what `io_getevents` requires. The kernel doesn't write the
    // timeout.
    unsafe { io_getevents(ctx, 1, nr, events, timeout.cast_mut()) }
}

/// `io_queue_wait@LIBAIO_0.1`: the same as [`io_queue_wait`].
///
/// # Safety
///
/// As for [`io_queue_wait`].
#[cfg_attr(aio_libaio = "shared", unsafe(no_mangle))]
pub unsafe extern "C" fn io_queue_wait_0_1(
    ctx: AioContext,
    timeout: *mut GetEventsTimespec,
) -> c_int {
    // SAFETY: the caller promises what `io_queue_wait` requires.
    unsafe { io_queue_wait(ctx, timeout) }
}
