//! Signals clients' eventfds, and never blocks.
//!
//! `write` to an eventfd blocks when the count is at its maximum. The client has the same eventfd:
//! it can set the count, and it can clear `O_NONBLOCK` at any moment. So a client could stop a
//! server that calls `write`.
//!
//! The kernel's own signal doesn't block: a count at its maximum stays there. A native AIO request
//! with `IOCB_FLAG_RESFD` signals an eventfd when it completes. The requests here are reads of no
//! bytes from `/dev/null`, which complete within `io_submit`. One `io_submit` signals many clients.
//! The kernel refuses a descriptor that isn't an eventfd.

#![allow(unsafe_code, reason = "makes the calls of a context of its own")]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent, Iocb},
    io_destroy, io_getevents, io_setup, io_submit,
};

/// How many eventfds one call signals.
const TOGETHER: usize = 64;

#[derive(Debug)]
pub(crate) struct Bell {
    context: AioContext,
    null: File,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let null = File::open("/dev/null")?;
        let mut context = AioContext::NONE;
        // SAFETY: `context` is a local variable, so it is valid for reads and writes.
        unsafe { io_setup(TOGETHER as u32, &mut context) }?;
        Ok(Self { context, null })
    }

    /// Adds 1 to each of some eventfds. Returns how many of them were signalled: at most 64.
    ///
    /// # Errors
    ///
    /// EINVAL: the first descriptor isn't an eventfd. EAGAIN: the kernel has no memory. The kernel
    /// signalled none.
    pub(crate) fn ring(&self, eventfds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let read = Iocb::pread(self.null.as_raw_fd(), ptr::null_mut(), 0, 0);
        let mut iocbs: Vec<_> = eventfds
            .iter()
            .take(TOGETHER)
            .map(|eventfd| read.with_resfd(eventfd.as_raw_fd()))
            .collect();
        let pointers: Vec<_> = iocbs.iter_mut().map(ptr::from_mut).collect();
        // SAFETY: the array and the iocbs in it are the two vectors, which live until the call
        // returns. The reads have a length of 0, so the kernel accesses no buffer.
        let rung = unsafe { io_submit(self.context, pointers.len() as isize, pointers.as_ptr()) }?;
        // The requests are over. Their events are taken out, so that there is room for the next.
        let mut events = [IoEvent::default(); TOGETHER];
        // SAFETY: at most `rung` events are stored, which is at most TOGETHER, the array's length.
        // A null timeout is allowed.
        unsafe {
            io_getevents(
                self.context,
                rung as isize,
                rung as isize,
                events.as_mut_ptr(),
                ptr::null(),
            )
        }?;
        Ok(rung)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: this value made the context and is the only one to use it. Nothing here reads the
        // ring's memory.
        let destroyed = unsafe { io_destroy(self.context) };
        debug_assert_eq!(destroyed, Ok(()));
    }
}
