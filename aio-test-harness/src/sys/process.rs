//! Processes.

use std::{io, mem::MaybeUninit, time::Duration};

use super::check;

/// A user with no rights.
const NOBODY: libc::uid_t = 65534;

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// This thread's number in the system.
pub(crate) fn thread_id() -> u64 {
    // SAFETY: gettid takes nothing and can't fail.
    u64::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// The processor time that this process has used, all threads together, in user space and in the kernel.
pub(crate) fn cpu_time() -> io::Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills in the struct that it is given room for.
    check(unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) })?;
    // SAFETY: getrusage has succeeded.
    let usage = unsafe { usage.assume_init() };
    // Neither is ever negative, and there are fewer than a million microseconds.
    let duration =
        |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(duration(usage.ru_utime) + duration(usage.ru_stime))
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

/// `uname -r`.
pub(crate) fn kernel_release() -> io::Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim_end().to_owned())
}

/// Whether the kernel's words have 64 bits, which is more than ours may have.
pub(crate) fn kernel_has_64_bits() -> io::Result<bool> {
    if cfg!(target_pointer_width = "64") {
        return Ok(true);
    }
    let machine = uname_machine()?;
    Ok(machine.contains("64") || machine == "s390x" || machine == "armv8l")
}

/// `uname -m`.
fn uname_machine() -> io::Result<String> {
    let mut name = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: uname fills in the struct that it is given room for.
    check(unsafe { libc::uname(name.as_mut_ptr()) })?;
    // SAFETY: uname has succeeded.
    let name = unsafe { name.assume_init() };
    let bytes = name
        .machine
        .iter()
        .map(|byte| *byte as u8)
        .take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned())
}

/// Gives up being root, for this process and for good.
pub(crate) fn become_nobody() -> io::Result<()> {
    // SAFETY: setresuid takes three numbers. glibc changes all threads.
    check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }).map(drop)
}

/// Keeps the calling thread on the processor that it runs on.
pub(crate) fn stay_on_this_cpu() -> io::Result<()> {
    // SAFETY: sched_getcpu takes nothing.
    let cpu = check(unsafe { libc::sched_getcpu() })?;
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the kernel's number of a processor is within the set, or CPU_SET panics.
    unsafe { libc::CPU_SET(usize::try_from(cpu).map_err(io::Error::other)?, &mut set) };
    // SAFETY: the set is as long as is said and outlives the call; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// Has this process killed when the one that started it ends.
pub(crate) fn end_with_parent() -> io::Result<()> {
    let signal = libc::SIGKILL as libc::c_ulong;
    // SAFETY: PR_SET_PDEATHSIG takes a number, as wide as a word.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(drop)
}
