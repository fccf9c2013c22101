//! The end of a queue: draining it, and destroying its context.

#![allow(unsafe_code, reason = "submits a request, makes a pipe")]

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use aio_abi::Iocb;

use crate::{
    CloseError,
    engine::{
        jobs::keep_first,
        leader::{Goal, Lead, Turn},
        reap::KICK,
        shared::Shared,
    },
    sync::atomic::Ordering::Relaxed,
};

impl Shared {
    /// See [`Queue::drain`](crate::Queue::drain).
    pub(crate) fn drain(&self) -> Result<(), CloseError> {
        let idle = || self.gate.count().is_idle();
        match self.wait_for(Goal::Idle, None, idle, |_| self.await_exits()) {
            Ok(_) => Ok(()),
            Err(errno) => Err(CloseError::Reap(errno)),
        }
    }

    /// See [`Queue::close`](crate::Queue::close).
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        if !self.gate.close() {
            return Err(CloseError::Closed);
        }
        self.room.close(&self.slab);
        // Requests that are being submitted now can't be cancelled before they are.
        while self.gate.count().inside > 0 {
            self.watch_gate(None);
        }
        self.cancel_all();
        let mut panic = None;
        let drained = loop {
            match catch_unwind(AssertUnwindSafe(|| self.drain())) {
                Ok(result) => break result,
                // Of a waker or a destructor. The rest is waited for all the same.
                Err(another) => keep_first(&mut panic, another),
            }
        };
        let result = drained.and_then(|()| {
            let lead = self.take_over();
            // Drained although it is dead: it was destroyed when nothing could be reaped any more.
            let result = if self.dead.load(Relaxed) {
                Ok(())
            } else {
                self.destroy().map_err(CloseError::Destroy)
            };
            lead.pass_on(|goal| self.reached(goal));
            result
        });
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Takes the role for good. The gate is closed and nothing is in flight, so whoever has it
    /// either leaves by itself, or waits in the kernel for an event that it must be given.
    fn take_over(&self) -> Lead<'_> {
        let mut seat = match self.leadership.join(Goal::Role) {
            Turn::Lead(lead) => return lead,
            Turn::Follow(seat) => seat,
        };
        let mut kicked = false;
        loop {
            kicked = kicked || self.kick().is_some();
            // Where no request could be had for the kick, it is tried again soon.
            let deadline = (!kicked).then(|| Instant::now() + Duration::from_millis(10));
            seat.park(deadline);
            if seat.is_heir() {
                match seat.leave() {
                    Some(lead) => return lead,
                    None => match self.leadership.join(Goal::Role) {
                        Turn::Lead(lead) => return lead,
                        Turn::Follow(again) => seat = again,
                    },
                }
            }
        }
    }

    /// Ends a wait in the kernel with an event that belongs to nothing: no filter forbids pipes, and to
    /// read no bytes from one takes no time.
    fn kick(&self) -> Option<()> {
        let mut ends = [-1; 2];
        // SAFETY: there is room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return None;
        }
        // SAFETY: they are fresh descriptors of our own.
        let [reader, _writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let mut iocb = Iocb::pread(reader.as_raw_fd(), std::ptr::null_mut(), 0, 0);
        iocb.aio_data = KICK;
        // SAFETY: the iocb is our own, and has no buffer. The context lives: only the caller, who
        // closes the queue, destroys it.
        unsafe { self.kernel.io_submit(self.ctx, &[&raw mut iocb]) }
            .ok()
            .map(drop)
    }
}
