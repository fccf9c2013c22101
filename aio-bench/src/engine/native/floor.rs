//! `floor`: the calls through aio-sys, the reference for all engines. The system calls are inlined
//! into the loop. `floor-single`: one `io_submit` for each operation. `floor-framed`: the floor
//! with each system call in a function of its own.

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

// SAFETY: the kernel stores one event for each request that it took, with the request's `aio_data`,
// once it is done with it. Dropping calls `io_destroy`, which waits for all requests.
unsafe impl Calls for Floor {
    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the slice is an array of `iocbs.len()` pointers. The caller promises, as
        // `Calls::submit` demands, that iocbs and buffers stay where they are and are left alone
        // until their events came.
        unsafe { io_submit(self.0, iocbs.len() as isize, iocbs.as_ptr()) }
    }

    #[inline(always)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        let nr = events.len() as isize;
        // SAFETY: the slice has room for `nr` events. A null timeout waits without limit.
        unsafe { io_getevents(self.0, 1, nr, events.as_mut_ptr(), ptr::null()) }
    }

    fn ring(&self) -> Option<Ring> {
        // SAFETY: the context lives as long as `self`. `Native` keeps `self` beside the ring, and
        // uses the ring no longer.
        unsafe { Ring::of(self.0) }
    }
}

/// The floor with an `io_submit` for each operation.
pub(in crate::engine) struct OneByOne(Floor);

impl OneByOne {
    pub(in crate::engine) fn set_up(depth: usize) -> Result<Self, SetUpError> {
        Floor::set_up(depth).map(Self)
    }
}

// SAFETY: all calls go to the `Floor` inside, which keeps these promises.
unsafe impl Calls for OneByOne {
    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller promises, as `Calls::submit` demands, that all iocbs and buffers are
        // left alone until their events came. This is the first of them.
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

/// The floor with each system call in a function of its own, which returns after the system call.
pub(in crate::engine) struct Framed(Floor);

impl Framed {
    pub(in crate::engine) fn set_up(depth: usize) -> Result<Self, SetUpError> {
        Floor::set_up(depth).map(Self)
    }
}

// SAFETY: all calls go to the `Floor` inside, which keeps these promises.
unsafe impl Calls for Framed {
    #[inline(never)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller promises, as `Calls::submit` demands, that all iocbs and buffers are
        // left alone until their events came.
        unsafe { self.0.submit(iocbs) }
    }

    #[inline(never)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        self.0.wait(events)
    }

    fn ring(&self) -> Option<Ring> {
        self.0.ring()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // SAFETY: the handle is the kernel's, and `self` is its only owner. Nobody reads the ring
        // after `self` is dropped.
        let _ = unsafe { io_destroy(self.0) };
    }
}
