//! Signals and what they carry.

use std::{
    ffi::{c_int, c_void},
    mem,
    sync::atomic::{
        AtomicI32, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use aio_posix::c::{Aiocb, Sigevent};

/// What came of one kind of signal.
pub(crate) struct Caught {
    count: AtomicUsize,
    code: AtomicI32,
    thread: AtomicI32,
    value: AtomicUsize,
    values: AtomicU64,
}

static CAUGHT: [Caught; 65] = [const {
    Caught {
        count: AtomicUsize::new(0),
        code: AtomicI32::new(0),
        thread: AtomicI32::new(0),
        value: AtomicUsize::new(0),
        values: AtomicU64::new(0),
    }
}; 65];

impl Caught {
    /// How many came.
    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// The `si_code` of the last one.
    pub(crate) fn code(&self) -> c_int {
        self.code.load(Relaxed)
    }

    /// The thread that the last one came to.
    pub(crate) fn thread(&self) -> libc::pid_t {
        self.thread.load(Relaxed)
    }

    /// The value of the last one.
    pub(crate) fn value(&self) -> usize {
        self.value.load(Relaxed)
    }

    /// A bit for each value below 64 that came.
    pub(crate) fn values(&self) -> u64 {
        self.values.load(Relaxed)
    }
}

extern "C" fn handler(signo: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let caught = &CAUGHT[signo as usize];
    // SAFETY: the kernel passes a siginfo_t.
    let info = unsafe { &*info };
    // SAFETY: a signal with a value was sent, or the field means nothing.
    let value = unsafe { info.si_value() }.sival_ptr.addr();
    caught.code.store(info.si_code, Relaxed);
    caught.thread.store(my_thread(), Relaxed);
    caught.value.store(value, Relaxed);
    if value < 64 {
        caught.values.fetch_or(1 << value, Relaxed);
    }
    caught.count.fetch_add(1, SeqCst);
}

/// From now on signals of this number are caught. Each test has a number of its own: the real-time
/// signal with this index. `flags`: `SA_RESTART` or none.
pub(crate) fn catch(index: c_int, flags: c_int) -> (c_int, &'static Caught) {
    let signo = libc::SIGRTMIN() + index;
    // SAFETY: zeros are a value of the type.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the action is valid, and the handler is async-signal-safe.
    let done = unsafe { libc::sigaction(signo, &raw const action, std::ptr::null_mut()) };
    assert_eq!(done, 0);
    (signo, &CAUGHT[signo as usize])
}

/// A `sigevent` with this `sigev_notify`.
pub(crate) fn event(notify: c_int) -> Sigevent {
    let mut event = Aiocb::new().aio_sigevent;
    event.sigev_notify = notify;
    event
}

/// A `sigevent` for a signal with a value.
pub(crate) fn signal(signo: c_int, value: usize) -> Sigevent {
    let mut event = event(libc::SIGEV_SIGNAL);
    event.sigev_signo = signo;
    event.sigev_value = value;
    event
}

/// This thread's number.
pub(crate) fn my_thread() -> libc::pid_t {
    // SAFETY: the call takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// Sends a signal to a thread of this process.
pub(crate) fn kill(thread: libc::pid_t, signo: c_int) {
    // SAFETY: the call touches no memory.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, signo) };
}
