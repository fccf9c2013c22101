//! Processes.

use std::io;

use super::check;

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// Kills all processes of a group. A group that has no process left is fine.
pub(crate) fn kill_group(leader: u32) -> io::Result<()> {
    let leader = libc::pid_t::try_from(leader).map_err(io::Error::other)?;
    // SAFETY: kill touches no memory of ours.
    match check(unsafe { libc::kill(-leader, libc::SIGKILL) }) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// Collects all children that have ended; for PID 1, which inherits orphans.
pub(crate) fn reap_orphans() {
    loop {
        // SAFETY: a null status pointer is allowed: the status isn't stored.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } <= 0 {
            return;
        }
    }
}

/// `uname -r`.
pub(crate) fn kernel_release() -> io::Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim_end().to_owned())
}
