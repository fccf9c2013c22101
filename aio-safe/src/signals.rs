//! Blocking signals: for threads that the program doesn't know of.

#![allow(unsafe_code, reason = "sets the mask of signals")]

use std::mem::MaybeUninit;

/// All signals are blocked in this thread until this is dropped.
pub(crate) struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    pub(crate) fn all() -> Self {
        let mut all = MaybeUninit::uninit();
        // SAFETY: `all` has room for a set of signals.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigfillset` has initialised `all`, and `before` has room for a set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        Self {
            // SAFETY: `pthread_sigmask` has stored the set that was in force. It fails only for an
            // unknown first argument.
            before: unsafe { before.assume_init() },
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `before` is a set of signals. No old set is asked for.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            )
        };
    }
}
