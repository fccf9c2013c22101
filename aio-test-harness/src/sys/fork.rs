//! Forked children. `std::process` can't make them.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use super::check;
use crate::stop::{CaseResult, Stop};

/// A forked child. Dropping this neither ends the child nor waits for it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Forked(libc::pid_t);

/// Runs a closure in a forked child, which then ends. Its exit status is 0 if the closure
/// succeeded. Otherwise it is 1, and the reason is printed.
///
/// The process must have one thread: nobody in the child would release the locks of other threads.
pub(crate) fn fork(child: impl FnOnce() -> CaseResult) -> io::Result<Forked> {
    assert_eq!(threads()?, 1, "fork in a process with one thread");
    // SAFETY: this process has one thread. So nothing is being changed by another one, and no lock
    // is held by another one.
    unsafe { fork_and_run(child) }
}

/// As [`fork`], in a process that may have workers of aio-safe, but no other threads.
pub(crate) fn fork_beside_workers(child: impl FnOnce() -> CaseResult) -> io::Result<Forked> {
    // SAFETY: this process has no threads but this one and aio-safe's workers. What workers change
    // is inside of aio-safe, whose queues and kernels are safe to use in a child. They don't print,
    // so they don't hold the lock of the standard error output.
    unsafe { fork_and_run(child) }
}

/// As [`fork`], in a process that may have other threads.
///
/// # Safety
///
/// The child uses nothing that another thread may have been changing, and no locks except the C
/// library's own, which glibc resets, and that of the standard error output.
pub(crate) unsafe fn fork_and_run(child: impl FnOnce() -> CaseResult) -> io::Result<Forked> {
    // SAFETY: the caller promises the same of the closure. The rest of this function uses the
    // standard error output only, and ends the child with `exit_now`.
    if let Some(child) = unsafe { fork_beside_threads() }? {
        return Ok(child);
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

/// Forks a process that may have other threads. The child has only the calling one. Returns nothing
/// in the child.
///
/// # Safety
///
/// The child uses nothing that another thread may have been changing, and no locks except the C
/// library's own, which glibc resets. It ends with [`exit_now`].
pub(crate) unsafe fn fork_beside_threads() -> io::Result<Option<Forked>> {
    // SAFETY: the caller promises that the child uses nothing that another thread may have been
    // changing, and that it ends with `exit_now`.
    let pid = check(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(Forked(pid)))
}

/// Ends the process without running exit handlers or destructors.
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

    /// Returns the child's exit status, if it has ended.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = 0;
        // SAFETY: `status` has room for what waitpid stores.
        let pid = check(unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) })?;
        Ok((pid != 0).then(|| ExitStatus::from_raw(status)))
    }

    /// Kills the child.
    pub(crate) fn kill(&self) -> io::Result<()> {
        // SAFETY: kill takes two numbers and touches no memory of this process.
        check(unsafe { libc::kill(self.0, libc::SIGKILL) }).map(drop)
    }

    /// Waits, and fails the case unless the child succeeded.
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
