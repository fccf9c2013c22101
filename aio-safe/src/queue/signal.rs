//! Sending a signal when an operation is over.

#![allow(unsafe_code, reason = "sends signals")]

use std::{
    ffi::c_int,
    sync::Arc,
    task::{Wake, Waker},
};

use super::Pending;
use crate::op::Payload;

/// A signal to this process or to one of its threads, with a number that says which operation it is
/// for. POSIX AIO calls the two `SIGEV_SIGNAL` and `SIGEV_THREAD_ID`.
///
/// The receiver finds [`value`](Self::value) in the `si_value` of its `siginfo_t`, from
/// `sigwaitinfo`, a handler with `SA_SIGINFO`, or a signalfd (`ssi_ptr`). The `si_code` is
/// `SI_ASYNCIO`. Block the signal in all threads before operations are submitted, and receive it
/// with `sigwaitinfo` or a signalfd: a handler may do little.
///
/// Use a real-time signal (`SIGRTMIN` and above). The kernel queues one for each operation. Of any
/// other signal it keeps one at a time, so several operations may share it. The number of queued
/// signals is limited (`RLIMIT_SIGPENDING`). Beyond the limit a signal is **lost**. So don't count
/// on one signal for each operation: when one comes, look at all operations.
///
/// No error is reported. If the number is no signal's, or the thread doesn't exist any more, no
/// signal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    number: c_int,
    thread: Option<i32>,
    value: usize,
}

impl Signal {
    /// A signal to this process: any of its threads that doesn't block the signal receives it.
    pub fn to_process(number: i32) -> Self {
        Self {
            number,
            thread: None,
            value: 0,
        }
    }

    /// A signal to one thread of this process, by its kernel thread id (`gettid`).
    pub fn to_thread(number: i32, thread: i32) -> Self {
        Self {
            number,
            thread: Some(thread),
            value: 0,
        }
    }

    /// Sets the number that the signal carries.
    pub fn value(self, value: usize) -> Self {
        Self { value, ..self }
    }

    /// Sends it now. An operation's signal is sent by itself: see
    /// [`Pending::signal`](super::Pending::signal). This is for what a program does when several
    /// operations are over.
    ///
    /// An error is ignored: there is no such signal or thread, or no room.
    pub fn send(self) {
        let info = SigInfo {
            info: Info {
                si_signo: self.number,
                si_errno: 0,
                si_code: libc::SI_ASYNCIO,
                fields: Fields {
                    si_pid: std::process::id() as i32,
                    // SAFETY: the call touches no memory.
                    si_uid: unsafe { libc::getuid() },
                    si_value: self.value,
                },
            },
        };
        let process = std::process::id();
        let info = &raw const info;
        match self.thread {
            // SAFETY: `info` is a whole siginfo_t.
            None => unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process, self.number, info) },
            // SAFETY: `info` is a whole siginfo_t.
            Some(thread) => unsafe {
                let call = libc::SYS_rt_tgsigqueueinfo;
                libc::syscall(call, process, thread, self.number, info)
            },
        };
    }
}

/// A `siginfo_t`, of which the C library's type shows too little.
#[repr(C)]
union SigInfo {
    info: Info,
    whole: [u8; 128],
}

#[repr(C)]
#[derive(Clone, Copy)]
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
)))]
struct Info {
    si_signo: c_int,
    si_errno: c_int,
    si_code: c_int,
    /// At a multiple of a pointer's size, as in C.
    fields: Fields,
}

/// On MIPS two numbers have changed places.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
))]
struct Info {
    si_signo: c_int,
    si_code: c_int,
    si_errno: c_int,
    /// At a multiple of a pointer's size, as in C.
    fields: Fields,
}

/// The C library's type has the numbers in the same places.
const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Info, si_signo) == offset_of!(libc::siginfo_t, si_signo));
    assert!(offset_of!(Info, si_errno) == offset_of!(libc::siginfo_t, si_errno));
    assert!(offset_of!(Info, si_code) == offset_of!(libc::siginfo_t, si_code));
};

#[repr(C)]
#[derive(Clone, Copy)]
struct Fields {
    si_pid: i32,
    si_uid: u32,
    si_value: usize,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.send();
    }
}

impl<P: Payload> Pending<P> {
    /// Sends a signal when the operation is over. If it is over already, sends the signal at once.
    /// The result is taken with [`try_take`](Self::try_take).
    ///
    /// It replaces the waker of a task. Awaiting the handle or waiting for it later replaces the
    /// signal, so none is sent then. If the handle is [dropped](Self#dropping) before the operation
    /// is over, the operation goes on, and no signal is sent. Dropping a poll cancels it, which may
    /// send the signal.
    ///
    /// The thread that reaps the completion sends the signal: the queue's [driver](super::Driver),
    /// or a thread that waits. If the driver's thread can't be started, this thread blocks until
    /// the operation is over, and sends it.
    ///
    /// # Panics
    ///
    /// In a child process made by `fork`: the operation is the parent's. Also when a waker or a
    /// destructor that it runs panics.
    #[doc(alias = "SIGEV_SIGNAL")]
    #[doc(alias = "SIGEV_THREAD_ID")]
    pub fn signal(&mut self, signal: Signal) {
        let waker = Waker::from(Arc::new(signal));
        if !self.arm(&waker) {
            signal.send();
        }
    }
}
