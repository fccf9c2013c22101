//! The seam between the queue and the system calls.
//!
//! The queue does everything through [`Kernel`]. [`Linux`] is the real one. A simulation, a model
//! checker's kernel or a wrapper round the real one can take its place, and runs the very same
//! queue: [`Queue::with_kernel`](crate::Queue::with_kernel).
//!
//! All types that an implementation touches are here, so it needs no other crate. The example
//! `faults` is a wrapper that lets every n-th transfer fail with EIO or be short, and a program
//! that copes with it (`cargo run --example faults`).

#![allow(unsafe_code, reason = "declares what is unsafe about the system calls")]

mod linux;
mod ring;

use std::{mem::MaybeUninit, time::Duration};

pub use aio_abi::{
    AioContext, IoEvent, IoPrio, Iocb, IocbFlags, Iovec, Opcode, RING_COMPAT_FEATURES,
    RING_INCOMPAT_FEATURES, RING_MAGIC, RingHeader, RwFlags,
};
pub use aio_sys::Errno;
pub use linux::Linux;
pub use ring::Ring;

/// What a queue needs of a kernel: five of native AIO's system calls.
///
/// Implement it to run a queue on something else than Linux: a simulation, say. The methods mean
/// what the system calls of the same name mean.
///
/// # Requests of the queue's own
///
/// A queue that is closed while a thread waits in [`io_getevents`](Self::io_getevents) ends that
/// wait by a request of its own: an `IOCB_CMD_PREAD` of 0 bytes from a pipe, with [`u64::MAX`] as
/// its `aio_data`. The kernel may refuse it, and the queue tries again soon. If the kernel accepts
/// it, its event must come as any other. The event's result doesn't matter.
///
/// # Safety
///
/// The queue frees and hands out buffers on the strength of what the kernel says. An implementation
/// promises:
///
/// - An accepted request has at most one event, with the iocb's `aio_data` as its `data`. A refused
///   request has none.
/// - The kernel touches neither an iocb nor the memory that it points to once the request's event
///   was given out, by [`io_getevents`](Self::io_getevents) or in the [`ring`](Self::ring), or once
///   [`io_submit`](Self::io_submit) refused the request.
/// - The `res` of a read or a write is at most the number of bytes that it asked for. The first
///   `res` bytes of a read's target were written, buffer after buffer.
/// - What a thread did before it submitted a request happens before the event is given out, and so
///   does what the kernel did to the request's buffers.
/// - `io_getevents` returns at most the length of `events`, and that many events at the start of
///   `events` are initialised.
/// - After [`io_destroy`](Self::io_destroy) succeeded the kernel touches no memory of that
///   context's requests.
/// - The kernel needs the iocbs, and the array of pointers to them, only during `io_submit`. After
///   that it uses nothing of them but their addresses, as [`io_cancel`](Self::io_cancel) does.
/// - No method panics: an operation whose fate isn't known would stay in flight for ever.
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
