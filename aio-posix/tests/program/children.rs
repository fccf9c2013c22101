//! Processes: children that are forked, and this program started once more for one test.

use std::{
    os::unix::process::ExitStatusExt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
};

/// How long a child may take. A child that hangs is killed by a SIGALRM.
const SECONDS: u32 = 60;

/// Set for this program when it was started for one test.
const ALONE: &str = "AIO_POSIX_TEST_ALONE";

/// Ends this process at once.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the child at once.
    unsafe { libc::_exit(code) }
}

/// Runs something in a child process, and fails if it panics or dies.
pub(crate) fn in_child(what: impl FnOnce()) {
    // SAFETY: the child uses no lock that another thread may hold, and ends with `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: sets a timer of the child's own.
        unsafe { libc::alarm(SECONDS) };
        exit(i32::from(catch_unwind(AssertUnwindSafe(what)).is_err()));
    }
    let mut status = -1;
    // SAFETY: `status` is a place for an int.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child's status; 14 is SIGALRM: it hung");
}

/// Runs the body of the test of this name in a process of its own, where it may do what would
/// disturb other tests.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        // SAFETY: sets a timer of this process, which is here for one test.
        unsafe { libc::alarm(SECONDS) };
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}signal {:?}; 14 is SIGALRM: it hung",
        String::from_utf8_lossy(&output.stderr),
        output.status.signal()
    );
}
