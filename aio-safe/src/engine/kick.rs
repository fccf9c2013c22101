//! Ending another thread's wait in the kernel.
//!
//! A thread that waits in `io_getevents` returns when an event comes. So whoever has to get it out
//! submits a request that is over at once, a read of no bytes from a pipe, and whose event belongs to
//! nothing. A thread that may have to be kicked makes the pipe before it waits, so that kicking needs
//! no descriptor. Where there is none to be had, or `io_submit` is forbidden, such a thread looks up
//! by itself from time to time.

#![allow(unsafe_code, reason = "makes a pipe, submits a request")]

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::OnceLock,
    time::Duration,
};

use aio_abi::Iocb;

use crate::engine::shared::Shared;

/// The `aio_data` of the request that ends a wait.
pub(crate) const KICK: u64 = u64::MAX;

/// How long a thread that can be kicked waits in the kernel at a time: the kick may be forbidden.
const LOOK: Duration = Duration::from_secs(1);

/// How long one waits that can't be kicked.
const SHORT_LOOK: Duration = Duration::from_millis(10);

/// What a kick reads from.
pub(crate) struct Kick {
    reader: OnceLock<OwnedFd>,
}

impl Kick {
    pub(crate) fn new() -> Self {
        Self {
            reader: OnceLock::new(),
        }
    }

    /// The pipe's reading end, if there is one or one can be made.
    fn reader(&self) -> Option<&OwnedFd> {
        if self.reader.get().is_none() {
            // The other thread's, if one was as fast.
            let _ = self.reader.set(pipe()?);
        }
        self.reader.get()
    }
}

/// A pipe of which only the reading end is left. No filter on system calls forbids pipes.
fn pipe() -> Option<OwnedFd> {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: both are fresh descriptors of our own.
    let [reader, _writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Some(reader)
}

impl Shared {
    /// How long a thread may wait in the kernel at a time for something that may come by other means
    /// than an event. In a model there is no limit: what ends such a wait has to be the kick.
    pub(crate) fn longest_look(&self) -> Option<Duration> {
        let has_reader = self.kick.reader().is_some();
        (!cfg!(loom)).then_some(if has_reader { LOOK } else { SHORT_LOOK })
    }

    /// Ends the leader's wait in the kernel. Returns false when that couldn't be done.
    ///
    /// # Safety
    ///
    /// The context isn't destroyed meanwhile: the caller is the one to do that, or is inside the gate.
    pub(crate) unsafe fn kick(&self) -> bool {
        let Some(reader) = self.kick.reader() else {
            return false;
        };
        let mut iocb = Iocb::pread(reader.as_raw_fd(), std::ptr::null_mut(), 0, 0);
        iocb.aio_data = KICK;
        // SAFETY: the iocb is our own, and has no buffer. The caller says that the context lives.
        unsafe { self.kernel.io_submit(self.ctx, &[&raw mut iocb]) }.is_ok()
    }

    /// As [`kick`](Self::kick), by a thread that keeps the context from being destroyed meanwhile.
    /// A queue that is being closed needs no kick.
    pub(crate) fn kick_from_outside(&self) {
        if self.gate.enter(0) {
            // SAFETY: the context lives as long as somebody is inside the gate.
            unsafe { self.kick() };
        }
        self.exit_gate(0);
    }
}
