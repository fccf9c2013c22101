//! The kick: ends another thread's wait in the kernel.
//!
//! A thread in `io_getevents` returns when an event comes. To end that wait, another thread submits
//! a request: a read of 0 bytes from a pipe, which is over at once. Its event matches no slot.
//!
//! A thread makes the pipe before it waits. So the thread that kicks needs no free file descriptor.
//! If there is no pipe, or `io_submit` is forbidden, the waiting thread returns by itself from time
//! to time.

#![allow(unsafe_code, reason = "submits a request")]

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::OnceLock,
    time::Duration,
};

use aio_abi::Iocb;

use crate::{
    engine::shared::Shared,
    kernel::kick::{KICK, pipe},
    sync::atomic::Ordering::Relaxed,
};

/// How long a thread that can be kicked waits in the kernel at a time. There is a limit because the
/// kick may be forbidden.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// How long a thread that can't be kicked waits in the kernel at a time.
const SHORT_WAIT: Duration = Duration::from_millis(10);

/// The pipe from which kicks read.
pub(crate) struct Kick {
    /// The reading end, once it is made.
    reader: OnceLock<OwnedFd>,
}

impl Kick {
    pub(crate) fn new() -> Self {
        Self {
            reader: OnceLock::new(),
        }
    }

    /// The pipe's reading end. `None` if there is none and none can be made.
    fn reader(&self) -> Option<&OwnedFd> {
        if self.reader.get().is_none() {
            // If another thread was faster, its pipe is used.
            let _ = self.reader.set(pipe()?);
        }
        self.reader.get()
    }
}

impl Shared {
    /// How long a thread may wait in the kernel at a time, if its goal may be reached without an
    /// event. In a model there is no limit, so that the kick has to end the wait.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        let has_reader = self.kick.reader().is_some();
        (!cfg!(loom)).then_some(if has_reader { LONG_WAIT } else { SHORT_WAIT })
    }

    /// Ends the leader's wait in the kernel. Returns false if the kick couldn't be submitted.
    pub(crate) fn kick(&self) -> bool {
        // This enters a closed gate, too. The thread that destroys the context marks it as dead,
        // and then waits until no thread is inside.
        self.gate.enter_to_kick();
        let kicked = !self.dead.load(Relaxed) && self.submit_kick();
        self.exit_gate(0);
        kicked
    }

    /// Submits the kick. The caller is inside the gate, and the context wasn't dead after it came
    /// in.
    fn submit_kick(&self) -> bool {
        let Some(reader) = self.kick.reader() else {
            return false;
        };
        let mut iocb = Iocb::pread(reader.as_raw_fd(), std::ptr::null_mut(), 0, 0);
        iocb.aio_data = KICK;
        // SAFETY: the iocb is this function's own, and points to no memory. The context isn't
        // destroyed during the call: `destroy` waits until the caller has left the gate.
        unsafe { self.kernel.io_submit(self.ctx, &[&raw mut iocb]) }.is_ok()
    }
}
