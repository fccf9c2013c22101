//! The six calls.

use aio_abi::{AioContext, AioSigset, IoEvent, Iocb, Timespec};

use crate::Errno;
use crate::arch::{Word, nr, syscall1, syscall2, syscall3, syscall5, syscall6};

/// The timespec that [`io_getevents`] takes on this target.
pub type GetEventsTimespec = Timespec;

/// The timespec that [`io_pgetevents`] takes on this target.
#[cfg(target_pointer_width = "64")]
pub type PgetEventsTimespec = Timespec;
/// The timespec that [`io_pgetevents`] takes on this target.
#[cfg(not(target_pointer_width = "64"))]
pub type PgetEventsTimespec = aio_abi::Timespec64;

/// A pointer as the kernel gets it. Its provenance is exposed: the kernel, like any foreign code, may use it.
#[inline(always)]
fn pointer<T>(pointer: *const T) -> Word {
    pointer.expose_provenance() as Word
}

/// A long as the kernel gets it, sign and all.
#[inline(always)]
fn long(value: isize) -> Word {
    value as Word
}

#[inline(always)]
fn context(ctx: AioContext) -> Word {
    ctx.addr() as Word
}

/// What a call returned: a count, or an errno times -1.
#[inline(always)]
fn count(result: isize) -> Result<usize, Errno> {
    match Errno::from_return_value(result) {
        Some(errno) => Err(errno),
        None => Ok(result as usize),
    }
}

/// What a call returned that has nothing to say but success.
#[inline(always)]
fn nothing(result: isize) -> Result<(), Errno> {
    match Errno::from_return_value(result) {
        Some(errno) => Err(errno),
        None => Ok(()),
    }
}

/// Makes a context for `nr_events` requests.
///
/// # Safety
///
/// `ctxp` must be valid for reads and writes.
#[inline]
pub unsafe fn io_setup(nr_events: u32, ctxp: *mut AioContext) -> Result<(), Errno> {
    // SAFETY: the kernel reads and writes `*ctxp`, which the caller allows, and maps new memory.
    nothing(unsafe { syscall2(nr::IO_SETUP, Word::from(nr_events), pointer(ctxp)) })
}

/// Submits requests.
///
/// # Safety
///
/// TBD
#[inline]
pub unsafe fn io_submit(
    ctx: AioContext,
    nr: isize,
    iocbpp: *const *mut Iocb,
) -> Result<usize, Errno> {
    // SAFETY: the caller's.
    count(unsafe { syscall3(nr::IO_SUBMIT, context(ctx), long(nr), pointer(iocbpp)) })
}

/// Waits for events.
///
/// # Safety
///
/// TBD
#[inline]
pub unsafe fn io_getevents(
    ctx: AioContext,
    min_nr: isize,
    nr: isize,
    events: *mut IoEvent,
    timeout: *const GetEventsTimespec,
) -> Result<usize, Errno> {
    // SAFETY: the caller's.
    count(unsafe {
        syscall5(
            nr::IO_GETEVENTS,
            context(ctx),
            long(min_nr),
            long(nr),
            pointer(events),
            pointer(timeout),
        )
    })
}

/// Waits for events with a signal mask.
///
/// # Safety
///
/// TBD
#[inline]
pub unsafe fn io_pgetevents(
    ctx: AioContext,
    min_nr: isize,
    nr: isize,
    events: *mut IoEvent,
    timeout: *const PgetEventsTimespec,
    sig: *const AioSigset,
) -> Result<usize, Errno> {
    // SAFETY: the caller's.
    count(unsafe {
        syscall6(
            nr::IO_PGETEVENTS,
            context(ctx),
            long(min_nr),
            long(nr),
            pointer(events),
            pointer(timeout),
            pointer(sig),
        )
    })
}

/// Tries to end a request early.
///
/// # Safety
///
/// TBD
#[inline]
pub unsafe fn io_cancel(
    ctx: AioContext,
    iocb: *mut Iocb,
    result: *mut IoEvent,
) -> Result<(), Errno> {
    // SAFETY: the caller's.
    nothing(unsafe { syscall3(nr::IO_CANCEL, context(ctx), pointer(iocb), pointer(result)) })
}

/// Ends a context.
///
/// # Safety
///
/// TBD
#[inline]
pub unsafe fn io_destroy(ctx: AioContext) -> Result<(), Errno> {
    // SAFETY: the caller's.
    nothing(unsafe { syscall1(nr::IO_DESTROY, context(ctx)) })
}
