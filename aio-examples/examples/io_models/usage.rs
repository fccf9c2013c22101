//! What the process has used so far: CPU time and context switches.

#![allow(unsafe_code, reason = "calls getrusage")]

use std::{mem::MaybeUninit, time::Duration};

/// CPU time and context switches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// In user space and in the kernel together. The kernel measures the sum exactly, and only
    /// estimates the parts.
    pub(crate) cpu: Duration,
    pub(crate) switches: u64,
}

impl Usage {
    /// What all threads of the process have used, the C library's included.
    pub(crate) fn of_process() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    pub(crate) fn of_thread() -> Self {
        Self::of(libc::RUSAGE_THREAD)
    }

    fn of(whose: libc::c_int) -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `usage` has room for what getrusage stores.
        let answer = unsafe { libc::getrusage(whose, usage.as_mut_ptr()) };
        assert_eq!(answer, 0, "getrusage of this process doesn't fail");
        // SAFETY: all fields are numbers, for which zeros are valid, and getrusage has filled them
        // in.
        let usage = unsafe { usage.assume_init() };
        Self {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw) as u64,
        }
    }

    /// What was used since `earlier`. The clocks of two threads may differ by a tick, so it stops
    /// at zero.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}
