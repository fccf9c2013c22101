//! The seam between the queue and the system calls.
//!
//! The queue does everything through [`Kernel`]. [`Linux`] is the real one; a simulation or a model
//! checker's kernel stands in for it in tests, and runs the very same queue.

#![allow(unsafe_code, reason = "declares what is unsafe about the system calls")]

mod linux;
mod ring;

use std::{mem::MaybeUninit, time::Duration};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;

pub use linux::Linux;
pub use ring::Ring;

/// What a queue needs of a kernel: five of native AIO's system calls.
///
/// Implement it to run a queue on something else than Linux: a simulation, say. The methods mean
/// what the system calls of the same name mean.
///
/// # Safety
///
/// The queue frees and hands out buffers on the strength of what the kernel says, so:
///
/// - after an event for an iocb was given out by [`io_getevents`](Self::io_getevents), or after
///   [`io_submit`](Self::io_submit) refused it, the kernel touches neither the iocb nor its
///   buffers;
/// - an event's result is at most the number of bytes that the request asked for;
/// - what a thread did before it submitted a request happens before the event is given out;
/// - no method panics: an operation whose fate isn't known would stay in flight for ever;
/// - after [`io_destroy`](Self::io_destroy) succeeded it touches none of that context's;
/// - the iocbs behind an `io_submit` that accepted them, and the array of pointers, aren't needed
///   afterwards, except for their addresses.
pub unsafe trait Kernel: Send + Sync + 'static {
    /// Makes a context for `nr_events` requests in flight.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_setup`].
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno>;

    /// Submits requests, and returns how many were accepted: at least 1 when it succeeds. It stops
    /// at the first that is refused, which is an error only when it is the first of all.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_submit`].
    ///
    /// # Safety
    ///
    /// Each pointer is to an iocb that nobody else uses during the call; the memory that the iocbs
    /// point to stays valid, and untouched by others, until each request's event was given out.
    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno>;

    /// Waits for `min` events, takes up to `events.len()`, and returns how many it stored at the
    /// start of `events`. With no timeout it waits for as long as it takes; `min` = 0 doesn't wait.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_getevents`].
    ///
    /// # Safety
    ///
    /// Nobody else takes events of this context meanwhile: not by this call, and not by reading its
    /// [`ring`](Self::ring).
    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno>;

    /// The completion ring of a context of this kernel, where it can be read in user space.
    ///
    /// # Safety
    ///
    /// The context lives, and does so for as long as the ring is used.
    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let _ = ctx;
        None
    }

    /// Asks for a request to be cancelled. Success is `EINPROGRESS`: the event comes as usual.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_cancel`].
    ///
    /// # Safety
    ///
    /// `iocb` points to an iocb that stays readable during the call.
    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno>;

    /// Destroys a context, after waiting for everything in flight.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_destroy`].
    ///
    /// # Safety
    ///
    /// Nobody reads the context's ring, or submits to it, from now on.
    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno>;
}
