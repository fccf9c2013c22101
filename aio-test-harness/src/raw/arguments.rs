//! The odder arguments of `io_getevents` and `io_pgetevents`.

use std::time::Duration;

use aio_sys::abi::Sigset;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    /// No timeout is given: wait for ever.
    Never,
    After(Duration),
    /// These very seconds and nanoseconds.
    Exactly(i32, i32),
    /// It can't be read.
    Inaccessible,
}

impl Timeout {
    /// Milliseconds.
    pub(crate) fn ms(milliseconds: u64) -> Self {
        Self::After(Duration::from_millis(milliseconds))
    }

    /// Seconds and nanoseconds; nothing for those that are no timespec.
    pub(super) fn parts(self) -> Option<(i32, i32)> {
        match self {
            Self::Never | Self::Inaccessible => None,
            Self::After(duration) => {
                let seconds = duration
                    .as_secs()
                    .try_into()
                    .expect("cases wait for seconds, not years");
                Some((seconds, duration.subsec_nanos() as i32))
            }
            Self::Exactly(seconds, nanoseconds) => Some((seconds, nanoseconds)),
        }
    }
}

/// The signal mask of `io_pgetevents`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mask {
    /// No pointer to a struct.
    None,
    /// A struct without a mask, but with this size.
    Empty(usize),
    /// A mask, and the size that is given with it.
    Set(Sigset, usize),
    /// The struct can't be read.
    Inaccessible,
    /// The mask in the struct can't be read; this is the size that is given with it.
    InaccessibleSet(usize),
}

impl Mask {
    /// A mask with its right size.
    pub(crate) fn set(set: Sigset) -> Self {
        Self::Set(set, size_of::<Sigset>())
    }
}
