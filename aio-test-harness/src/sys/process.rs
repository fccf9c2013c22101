//! Processes.

use std::{io, mem::MaybeUninit, process::Child, time::Duration};

use super::check;

/// A user with no rights.
const NOBODY: libc::uid_t = 65534;

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// The calling thread's number in the system.
pub(crate) fn thread_id() -> u64 {
    // SAFETY: gettid takes nothing and can't fail.
    u64::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// The processor time of all threads of this process, in user space and in the kernel.
pub(crate) fn cpu_time() -> io::Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills in the struct, for which the argument has room.
    check(unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) })?;
    // SAFETY: getrusage has succeeded, so it has filled in the struct.
    let usage = unsafe { usage.assume_init() };
    // Seconds aren't negative, and there are less than a million microseconds.
    let duration =
        |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(duration(usage.ru_utime) + duration(usage.ru_stime))
}

/// Asks a child to end, by SIGTERM.
pub(crate) fn terminate(child: &Child) -> io::Result<()> {
    let child = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: kill takes two numbers and touches no memory of this process.
    check(unsafe { libc::kill(child, libc::SIGTERM) }).map(drop)
}

/// Kills all processes of a group. A group without processes is no error.
pub(crate) fn kill_group(leader: u32) -> io::Result<()> {
    let leader = libc::pid_t::try_from(leader).map_err(io::Error::other)?;
    // SAFETY: kill takes two numbers and touches no memory of this process.
    match check(unsafe { libc::kill(-leader, libc::SIGKILL) }) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// The kernel's release, as `uname -r` prints it.
pub(crate) fn kernel_release() -> io::Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim_end().to_owned())
}

/// Whether the kernel has 64-bit words. A 32-bit program may run on such a kernel.
pub(crate) fn kernel_has_64_bits() -> io::Result<bool> {
    if cfg!(target_pointer_width = "64") {
        return Ok(true);
    }
    let machine = uname_machine()?;
    Ok(machine.contains("64") || machine == "s390x" || machine == "armv8l")
}

/// The machine, as `uname -m` prints it.
fn uname_machine() -> io::Result<String> {
    let mut name = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: uname fills in the struct, for which the argument has room.
    check(unsafe { libc::uname(name.as_mut_ptr()) })?;
    // SAFETY: uname has succeeded, so it has filled in the struct.
    let name = unsafe { name.assume_init() };
    let bytes = name
        .machine
        .iter()
        .map(|byte| *byte as u8)
        .take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned())
}

/// Gives up being root, for the rest of this process.
pub(crate) fn become_nobody() -> io::Result<()> {
    // SAFETY: setresuid takes three numbers and touches no memory of this process. glibc changes
    // all threads.
    check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }).map(drop)
}

/// Keeps the calling thread on its present CPU.
pub(crate) fn stay_on_this_cpu() -> io::Result<()> {
    // SAFETY: sched_getcpu takes no argument and touches no memory of this process.
    let cpu = check(unsafe { libc::sched_getcpu() })?;
    // SAFETY: the set has only numbers, for which zeros are valid: the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `set` is a valid set. CPU_SET panics for a number beyond it.
    unsafe { libc::CPU_SET(usize::try_from(cpu).map_err(io::Error::other)?, &mut set) };
    // SAFETY: the set has the given length and outlives the call. 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// Makes the kernel kill this process when its parent ends.
pub(crate) fn end_with_parent() -> io::Result<()> {
    let signal = libc::SIGKILL as libc::c_ulong;
    // SAFETY: PR_SET_PDEATHSIG takes a number that is as wide as a word.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(drop)
}
