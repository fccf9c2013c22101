//! The timeouts and signal masks of `io_getevents` and `io_pgetevents`, also wrong ones.

use std::time::Duration;

use aio_sys::abi::Sigset;

/// A timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    /// No timeout: waits without limit.
    Never,
    /// Far longer than the slowest emulated machine needs, and shorter than the time limit of a
    /// case. No timeout where time is virtual: it would be over at once.
    Long,
    After(Duration),
    /// Exactly these seconds and nanoseconds, valid or not.
    Exactly(i32, i32),
    /// A pointer that can't be read.
    Inaccessible,
}

impl Timeout {
    /// A timeout in milliseconds.
    pub(crate) fn ms(milliseconds: u64) -> Self {
        Self::After(Duration::from_millis(milliseconds))
    }

    /// Seconds and nanoseconds, or nothing if there is no timespec.
    pub(super) fn parts(self) -> Option<(i32, i32)> {
        match self {
            Self::Never | Self::Inaccessible => None,
            Self::Long => Some((30, 0)),
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
    /// A null pointer in place of the struct.
    None,
    /// A struct without a mask, and with this size.
    Empty(usize),
    /// A mask, and its size in the struct.
    Set(Sigset, usize),
    /// A struct that can't be read.
    Inaccessible,
    /// A struct with this size, and a mask that can't be read.
    InaccessibleSet(usize),
}

impl Mask {
    /// A mask with its right size.
    pub(crate) fn set(set: Sigset) -> Self {
        Self::Set(set, size_of::<Sigset>())
    }
}
