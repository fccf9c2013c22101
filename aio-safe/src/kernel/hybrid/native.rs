//! A context of the real kernel, in which a thread may wait while workers post events elsewhere.

#![allow(unsafe_code, reason = "submits requests")]

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd},
    sync::OnceLock,
    thread,
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;

use crate::kernel::{
    Kernel, Linux,
    kick::{KICK, pipe},
    threads::context::Outside,
    waiting::Waiting,
};

/// See the [module](self).
pub(super) struct Native {
    pub(super) ctx: AioContext,
    waiting: Waiting,
    /// The pipe from which the requests read that end a wait. Made when it is first needed.
    reader: OnceLock<OwnedFd>,
}

/// For how long a thread waits at a time: the kernel may refuse the request that ends a wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Native {
    fn new(ctx: AioContext) -> Self {
        Self {
            ctx,
            waiting: Waiting::new(),
            reader: OnceLock::new(),
        }
    }

    /// Makes a context.
    ///
    /// # Errors
    ///
    /// As `io_setup`; and if a call that a queue needs is switched off or forbidden.
    pub(super) fn setup(nr_events: u32) -> Result<Self, Errno> {
        // Calls on no context: they fail with EINVAL if the kernel gets to see them.
        let none = AioContext::NONE;
        // SAFETY: there is no request.
        let submit = unsafe { Linux.io_submit(none, &[]) }.err();
        // SAFETY: there is no context, so no event is taken.
        let wait = unsafe { Linux.io_getevents(none, 0, &mut [], Some(Duration::ZERO)) }.err();
        // SAFETY: there is no context.
        let destroy = unsafe { Linux.io_destroy(none) }.err();
        let mut iocb = Iocb::default();
        // SAFETY: the iocb is readable.
        let cancel = unsafe { Linux.io_cancel(none, &raw mut iocb) }.err();
        let forbidden = [submit, wait, destroy, cancel]
            .into_iter()
            .flatten()
            .find(|errno| is_missing(*errno));
        match forbidden {
            Some(errno) => Err(errno),
            None => Linux.io_setup(nr_events).map(Self::new),
        }
    }

    /// Waits for `min` events of the real kernel, unless `has_others` says that there are others.
    /// Returns early when others come, or after a while.
    ///
    /// # Errors
    ///
    /// As `io_getevents`.
    ///
    /// # Safety
    ///
    /// As `io_getevents` requires.
    pub(super) unsafe fn wait(
        &self,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
        has_others: impl FnOnce() -> bool,
    ) -> Result<usize, Errno> {
        self.waiting.begin();
        let (min, timeout) = match has_others() {
            true => (0, Some(Duration::ZERO)),
            false => (min, Some(timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))),
        };
        // SAFETY: nobody else takes events of this context meanwhile, which the caller promises.
        let result = unsafe { Linux.io_getevents(self.ctx, min, events, timeout) };
        self.waiting.end();
        result
    }

    /// Ends the wait, by a read of 0 bytes, which is over at once.
    fn kick(&self) {
        // Descriptors may be used up for a while. The thread then returns by itself.
        let Some(reader) = self.reader.get().or_else(|| {
            let pipe = pipe()?;
            Some(self.reader.get_or_init(|| pipe))
        }) else {
            return;
        };
        let mut iocb = Iocb::pread(reader.as_raw_fd(), std::ptr::null_mut(), 0, 0);
        iocb.aio_data = KICK;
        // No place may be free for a moment. If that lasts, the thread returns by itself.
        for _ in 0..10 {
            // SAFETY: the iocb is this function's own, and points to no memory. The context isn't
            // destroyed before all workers are done with the other one.
            match unsafe { Linux.io_submit(self.ctx, &[&raw mut iocb]) } {
                Err(Errno::EAGAIN) => thread::sleep(Duration::from_micros(100)),
                _ => return,
            }
        }
    }
}

/// Whether a call is switched off, or forbidden by a filter.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSYS | Errno::EPERM | Errno::EACCES)
}

impl Outside for Native {
    fn event_posted(&self) {
        if self.waiting.is_to_be_ended() {
            self.kick();
        }
    }
}
