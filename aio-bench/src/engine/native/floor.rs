//! `floor`: the calls by aio-sys. The reference for the others. `floor-single`: what they cost one by one.

#![allow(unsafe_code, reason = "makes the system calls")]

use std::ptr;

use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent, Iocb},
    io_destroy, io_getevents, io_setup, io_submit,
};

use super::{Calls, Ring};
use crate::engine::{SetUpError, unavailable};

pub(in crate::engine) struct Floor(AioContext);

impl Floor {
    pub(in crate::engine) fn set_up(depth: usize) -> Result<Self, SetUpError> {
        let mut context = AioContext::NONE;
        // SAFETY: the handle is written to a local variable.
        match unsafe { io_setup(depth as u32, &raw mut context) } {
            Ok(()) => Ok(Self(context)),
            Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EAGAIN)) => {
                unavailable(format!("io_setup: {errno}"))
            }
            Err(errno) => Err(anyhow::Error::new(errno).context("io_setup").into()),
        }
    }

    #[inline(always)]
    pub(super) fn context(&self) -> AioContext {
        self.0
    }
}

// SAFETY: the events are the kernel's, and destroying the context waits.
unsafe impl Calls for Floor {
    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the array is readable in its length, and the caller promises the rest.
        unsafe { io_submit(self.0, iocbs.len() as isize, iocbs.as_ptr()) }
    }

    #[inline(always)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        let nr = events.len() as isize;
        // SAFETY: there is room for so many events. A null timeout waits without end.
        unsafe { io_getevents(self.0, 1, nr, events.as_mut_ptr(), ptr::null()) }
    }

    fn ring(&self) -> Option<Ring> {
        // SAFETY: the context lives as long as `self`, which the loop keeps beside the ring.
        unsafe { Ring::of(self.0) }
    }
}

/// The same, with a call for each operation.
pub(in crate::engine) struct OneByOne(Floor);

impl OneByOne {
    pub(in crate::engine) fn set_up(depth: usize) -> Result<Self, SetUpError> {
        Floor::set_up(depth).map(Self)
    }
}

// SAFETY: as above.
unsafe impl Calls for OneByOne {
    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: as the caller promises of all of them.
        unsafe { self.0.submit(&iocbs[..1]) }
    }

    #[inline(always)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        self.0.wait(events)
    }

    fn ring(&self) -> Option<Ring> {
        self.0.ring()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // SAFETY: nobody else uses the context, and the ring is read no more.
        let _ = unsafe { io_destroy(self.0) };
    }
}
