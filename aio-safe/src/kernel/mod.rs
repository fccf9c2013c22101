//! The seam between the queue and the system calls.
//!
//! The queue makes all of its system calls through [`Kernel`]. [`Linux`] makes the real ones. A
//! simulation, a model checker's kernel or a wrapper round [`Linux`] can take its place. The queue
//! is the same: [`Queue::with_kernel`](crate::Queue::with_kernel).
//!
//! This module has all types that an implementation uses, so it needs no other crate. The example
//! `faults` wraps [`Linux`] (`cargo run --example faults`). Every n-th transfer fails with EIO or
//! is short, and the example shows a program that handles that.

#![allow(unsafe_code, reason = "declares what is unsafe about the system calls")]

mod calls;
mod dispatch;
#[cfg(not(loom))]
mod eventfd;
#[cfg(not(loom))]
mod hybrid;
pub(crate) mod kick;
mod linux;
#[cfg(loom)]
mod modelled;
mod ring;
#[cfg(any(not(loom), test))]
pub(crate) mod threads;
#[cfg(any(not(loom), test))]
pub(crate) mod waiting;
mod ways;

use std::{mem::MaybeUninit, time::Duration};

pub use aio_abi::{
    AioContext, IoEvent, IoPrio, Iocb, IocbFlags, Iovec, Opcode, RING_COMPAT_FEATURES,
    RING_INCOMPAT_FEATURES, RING_MAGIC, RingHeader, RwFlags,
};
pub use aio_sys::Errno;
pub(crate) use calls::Calls;
pub(crate) use dispatch::{Dispatch, Extras};
#[cfg(not(loom))]
pub(crate) use eventfd::Eventfd;
#[cfg(not(loom))]
pub use hybrid::Hybrid;
pub use linux::Linux;
#[cfg(loom)]
pub(crate) use modelled::Eventfd;
pub use ring::Ring;
#[cfg(not(loom))]
pub use threads::Threads;
pub use ways::Ways;

/// What a queue needs of a kernel: five of native AIO's system calls.
///
/// Implement it to run a queue on a kernel of your own, such as a simulation. Each method does what
/// the system call of the same name does.
///
/// # Requests of the queue's own
///
/// A thread may wait in [`io_getevents`](Self::io_getevents) for something that another thread does
/// without an event: it closes the queue, or frees a slot. That thread ends the wait by a kick, a
/// request of the queue's own: an `IOCB_CMD_PREAD` of 0 bytes from a pipe, with [`u64::MAX`] as its
/// `aio_data`. The kernel may refuse it. The waiting thread then returns within a second by itself.
/// If the kernel accepts it, its event must come like any other. The event's result doesn't matter.
///
/// # Safety
///
/// The queue reads, frees and hands out buffers relying on what the kernel answers. An
/// implementation promises:
///
/// - An accepted request has at most one event, with the iocb's `aio_data` as its `data`. A refused
///   request has none.
/// - An event is given out by [`io_getevents`](Self::io_getevents) or in the [`ring`](Self::ring).
///   After that, the kernel touches neither the request's iocb nor the memory that it points to.
///   Nor does it after [`io_submit`](Self::io_submit) refused the request.
/// - The `res` of a read or a write is at most the number of bytes that it asked for. The first
///   `res` bytes of a read's target were written, buffer after buffer.
/// - What a thread did before it submitted a request happens before the request's event is given
///   out. So does what the kernel did to the request's buffers.
/// - `io_getevents` returns at most the length of `events`, and that many events at the start of
///   `events` are initialised.
/// - After [`io_destroy`](Self::io_destroy) succeeded, the kernel touches no memory of that
///   context's requests.
/// - The kernel uses the iocbs, and the array of pointers to them, only during `io_submit`. After
///   that it uses only their addresses, as [`io_cancel`](Self::io_cancel) does.
/// - No method panics, nor does the destructor. After a panic the queue wouldn't know whether a
///   request is in flight.
pub unsafe trait Kernel: Send + Sync + 'static {
    /// Makes a context for `nr_events` requests in flight.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_setup`].
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno>;

    /// Submits requests in their order, and returns how many were accepted. It stops at the first
    /// one that is refused. The refusal is an error only if it is the first request of the call. So
    /// a success returns at least 1.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_submit`].
    ///
    /// # Safety
    ///
    /// Each pointer is to an iocb that nobody else uses during the call. The memory that the iocbs
    /// point to stays valid, and nobody else uses it, until each request's event was given out. An
    /// eventfd in `aio_resfd` stays open until the context is destroyed.
    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno>;

    /// Whether the kernel has [`io_submit_and_wait`](Self::io_submit_and_wait) for this context. If
    /// so, the queue sets [`RwFlags::NOWAIT`] in direct transfers of an
    /// [`fs::File`](crate::fs::File).
    ///
    /// # Safety
    ///
    /// The context lives.
    unsafe fn can_wait(&self, ctx: AioContext) -> bool {
        let _ = ctx;
        false
    }

    /// Submits a request that may have to wait. This call itself doesn't wait. The queue calls it
    /// while it reaps, with a request that failed because of [`RwFlags::NOWAIT`]. The request is
    /// without that flag then.
    ///
    /// # Errors
    ///
    /// As [`io_submit`](Self::io_submit). ENOSYS if the kernel doesn't have this.
    ///
    /// # Safety
    ///
    /// As [`io_submit`](Self::io_submit).
    unsafe fn io_submit_and_wait(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        let _ = (ctx, iocb);
        Err(Errno::ENOSYS)
    }

    /// Waits for `min` events, takes up to `events.len()`, and returns how many it stored at the
    /// start of `events`. Without a timeout it waits without limit. It doesn't wait if `min` is 0.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_getevents`].
    ///
    /// # Safety
    ///
    /// Nobody else takes events of this context during the call, neither by this call nor from its
    /// [`ring`](Self::ring).
    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno>;

    /// The completion ring of a context, if it can be read in user space.
    ///
    /// # Safety
    ///
    /// The context lives, and isn't destroyed while the ring is used.
    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let _ = ctx;
        None
    }

    /// A second ring, for events that aren't in the first. [`io_getevents`](Self::io_getevents)
    /// doesn't take them, but returns as soon as there is one, even with no event.
    ///
    /// # Safety
    ///
    /// As [`ring`](Self::ring).
    unsafe fn second_ring(&self, ctx: AioContext) -> Option<Ring> {
        let _ = ctx;
        None
    }

    /// Asks the kernel to cancel a request. Linux reports success as the error EINPROGRESS. `Ok`
    /// means the same. The event comes as usual.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_cancel`].
    ///
    /// # Safety
    ///
    /// `iocb` points to an iocb that stays readable during the call.
    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno>;

    /// The queue is being closed, and waits until nothing is in flight. So the kernel ends the
    /// requests that nothing but another process or the network would end, now and in future.
    /// Their events come as usual.
    ///
    /// The real kernel has no such requests but polls, which the queue cancels by itself.
    ///
    /// # Safety
    ///
    /// The context lives.
    unsafe fn end_waits(&self, ctx: AioContext) {
        let _ = ctx;
    }

    /// Which ways the context's requests took, if there is more than one.
    ///
    /// # Safety
    ///
    /// The context was made by this kernel.
    unsafe fn ways(&self, ctx: AioContext) -> Option<Ways> {
        let _ = ctx;
        None
    }

    /// Destroys a context. Waits until nothing is in flight.
    ///
    /// # Errors
    ///
    /// As [`aio_sys::io_destroy`].
    ///
    /// # Safety
    ///
    /// From now on nobody reads the context's ring, or submits to it.
    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno>;
}
