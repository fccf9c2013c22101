//! `SIGALRM`: a handler that counts it, a timer that raises it, and the mask that blocks it. And
//! `SIGPIPE`, which ends the process unless it is ignored.

use std::{
    io,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::check;

static ALARMS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_alarm(_: libc::c_int) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

/// The number of times that `SIGALRM` was handled.
pub(crate) fn alarms() -> usize {
    ALARMS.load(Ordering::Relaxed)
}

/// Counts `SIGALRM` from now on. System calls that it interrupts are not restarted.
pub(crate) fn count_alarms() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int) = count_alarm;
    // SAFETY: the struct has only numbers and a nullable pointer, for which zeros are valid:
    // default action, no flags, no mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the handler only adds to an atomic number, which is allowed at any point. `action` is
    // initialised and outlives the call. A null pointer asks for no old action.
    check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) }).map(drop)
}

/// Raises `SIGALRM` for this process after `first`, and then every 10 ms. If the first one comes
/// before the call that it has to interrupt, the next one interrupts it.
pub(crate) fn start_alarms(first: Duration) -> io::Result<()> {
    set_timer(first, Duration::from_millis(10))
}

/// Raises `SIGALRM` for this process once.
pub(crate) fn one_alarm(after: Duration) -> io::Result<()> {
    set_timer(after, Duration::ZERO)
}

/// Stops the timer.
pub(crate) fn stop_alarms() -> io::Result<()> {
    set_timer(Duration::ZERO, Duration::ZERO)
}

/// Makes `SIGPIPE` end this process again. Rust's runtime ignores it.
pub(crate) fn default_sigpipe() -> io::Result<()> {
    // SAFETY: signal takes two numbers. The default action runs no handler.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_timer(first: Duration, interval: Duration) -> io::Result<()> {
    let time = |duration: Duration| libc::timeval {
        tv_sec: duration.as_secs() as _,
        tv_usec: (duration.subsec_micros() as i32).into(),
    };
    let timer = libc::itimerval {
        it_interval: time(interval),
        it_value: time(first),
    };
    // SAFETY: `timer` outlives the call. A null pointer asks for no old timer.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) })
        .map(drop)
}

/// Raises `SIGALRM` for the calling thread, now.
pub(crate) fn raise_alarm() -> io::Result<()> {
    // SAFETY: raise takes a number. The handler is `count_alarm` or none.
    check(unsafe { libc::raise(libc::SIGALRM) }).map(drop)
}

/// Blocks or unblocks `SIGALRM` for the calling thread. A blocked one stays pending.
pub(crate) fn block_alarms(block: bool) -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, for which the argument has room.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    // SAFETY: sigemptyset has initialised the set.
    check(unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM) })?;
    let how = if block {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: the set is initialised and outlives the call. A null pointer asks for no old mask.
    match unsafe { libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Whether `SIGALRM` is blocked for the calling thread.
pub(crate) fn alarms_are_blocked() -> io::Result<bool> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, for which the argument has room.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    // SAFETY: without a new set, the call only stores the mask in `set`, which outlives it.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr()) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    // SAFETY: the set is initialised.
    Ok(check(unsafe { libc::sigismember(set.as_ptr(), libc::SIGALRM) })? == 1)
}
