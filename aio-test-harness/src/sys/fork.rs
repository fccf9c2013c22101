//! Children that share their parent's memory as it was: what `std::process` can't make.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use super::check;
use crate::stop::{CaseResult, Stop};

/// A forked child. Dropping it leaves it to itself.
#[derive(Debug)]
#[must_use]
pub(crate) struct Forked(libc::pid_t);

/// Runs a closure in a forked child, which ends with it: with status 0 if it succeeded, else with 1 after printing
/// why.
///
/// Only for processes that have one thread: the child has nobody to release the locks of others.
pub(crate) fn fork(child: impl FnOnce() -> CaseResult) -> io::Result<Forked> {
    assert_eq!(threads()?, 1, "fork with other threads about");
    // SAFETY: this process has one thread, so that the child's memory is as consistent as ours is here.
    let pid = check(unsafe { libc::fork() })?;
    if pid != 0 {
        return Ok(Forked(pid));
    }
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
    let status = match caught {
        Ok(Ok(())) => 0,
        Ok(Err(Stop::Fail(reason) | Stop::Skip(reason))) => {
            eprintln!("in a forked child: {reason}");
            1
        }
        Err(_) => 101,
    };
    exit_now(status)
}

/// Forks a process that may have other threads, which the child doesn't have. Returns nothing in the child.
///
/// # Safety
///
/// The child uses nothing that another thread may have been in the middle of: no locks but the C library's own, which
/// glibc puts in order. It ends with [`exit_now`].
pub(crate) unsafe fn fork_beside_threads() -> io::Result<Option<Forked>> {
    // SAFETY: the caller's promise.
    let pid = check(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(Forked(pid)))
}

/// Ends the process without running anything that was left to be run at its end.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes a number and doesn't return.
    unsafe { libc::_exit(status) }
}

impl Forked {
    /// Waits until the child has ended.
    pub(crate) fn wait(self) -> io::Result<ExitStatus> {
        let mut status = 0;
        loop {
            // SAFETY: `status` has room for what waitpid stores.
            match check(unsafe { libc::waitpid(self.0, &raw mut status, 0) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(|_| ExitStatus::from_raw(status)),
            }
        }
    }

    /// How the child has ended, if it has.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = 0;
        // SAFETY: `status` has room for what waitpid stores.
        let pid = check(unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) })?;
        Ok((pid != 0).then(|| ExitStatus::from_raw(status)))
    }

    /// Kills the child.
    pub(crate) fn kill(&self) -> io::Result<()> {
        // SAFETY: kill touches no memory of ours.
        check(unsafe { libc::kill(self.0, libc::SIGKILL) }).map(drop)
    }

    /// Waits and fails the case unless the child succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> CaseResult {
        match self.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(Stop::fail(format_args!("the forked child: {other:?}"))),
        }
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}
