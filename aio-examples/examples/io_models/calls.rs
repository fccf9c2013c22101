//! Counting the system calls that a model makes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A system call that a model makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Read,
    Pread,
    Preadv2,
    Fadvise,
    Select,
    Poll,
    EpollWait,
    IoSubmit,
    IoGetevents,
    IoCancel,
}

impl Call {
    /// The calls, with the names that strace prints. `select`, `poll` and `epoll_wait` are made as
    /// their newer forms, which take a signal mask too.
    const ALL: [(Self, &str); 10] = [
        (Self::Read, "read"),
        (Self::Pread, "pread64"),
        (Self::Preadv2, "preadv2"),
        (Self::Fadvise, "fadvise64"),
        (Self::Select, "pselect6"),
        (Self::Poll, "ppoll"),
        (Self::EpollWait, "epoll_pwait"),
        (Self::IoSubmit, "io_submit"),
        (Self::IoGetevents, "io_getevents"),
        (Self::IoCancel, "io_cancel"),
    ];
}

/// How often each system call was made, by all threads of a model.
#[derive(Debug, Default)]
pub(crate) struct Calls([AtomicU64; Call::ALL.len()]);

impl Calls {
    /// Counts a call whose result is `result`. It stands around each system call, so calls that
    /// fail are counted too.
    #[inline]
    pub(crate) fn count<T>(&self, call: Call, result: T) -> T {
        self.0[call as usize].fetch_add(1, Relaxed);
        result
    }

    pub(crate) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Relaxed);
        }
    }

    /// The calls that were made, by name.
    pub(crate) fn made(&self) -> Vec<(&'static str, u64)> {
        let all = Call::ALL.iter();
        all.map(|&(call, name)| (name, self.0[call as usize].load(Relaxed)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }
}
