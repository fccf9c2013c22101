//! The signal mask that `io_pgetevents` waits with.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ulong::Ulong;

/// The number of signals, including the realtime signals.
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)))]
const SIGNALS: usize = 64;
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
const SIGNALS: usize = 128;

const WORD_BITS: usize = Ulong::BITS as usize;
const WORDS: usize = SIGNALS / WORD_BITS;

/// The kernel's own set of signals: 64 bits (128 bits on mips), stored in longs.
///
/// This isn't the C library's `sigset_t`, which is 128 bytes long. That type begins with the
/// kernel's set.
///
/// ```
/// use aio_abi::Sigset;
///
/// const SIGINT: u32 = 2;
/// let mask = Sigset::EMPTY.with(SIGINT);
/// assert!(mask.contains(SIGINT));
/// assert_eq!(Sigset::FULL.without(SIGINT), !mask);
/// ```
///
/// Source: `sigset_t` in `asm/signal.h`.
#[doc(alias = "sigset_t")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Sigset([Ulong; WORDS]);

impl Sigset {
    /// The empty set. As a mask it blocks no signal.
    pub const EMPTY: Self = Self([0; WORDS]);
    /// The set of all signals. As a mask it blocks all signals except `SIGKILL` and `SIGSTOP`.
    pub const FULL: Self = Self([!0; WORDS]);
    /// The highest signal number.
    #[doc(alias = "_NSIG")]
    pub const MAX_SIGNAL: u32 = SIGNALS as u32;

    /// This set with the signal `signal` added.
    ///
    /// # Panics
    ///
    /// If the number is 0 or more than [`MAX_SIGNAL`](Self::MAX_SIGNAL).
    #[must_use]
    pub const fn with(mut self, signal: u32) -> Self {
        let (word, bit) = Self::place(signal);
        self.0[word] |= bit;
        self
    }

    /// This set with the signal `signal` removed.
    ///
    /// # Panics
    ///
    /// If the number is 0 or more than [`MAX_SIGNAL`](Self::MAX_SIGNAL).
    #[must_use]
    pub const fn without(mut self, signal: u32) -> Self {
        let (word, bit) = Self::place(signal);
        self.0[word] &= !bit;
        self
    }

    /// True if the signal `signal` is in the set.
    ///
    /// # Panics
    ///
    /// If the number is 0 or more than [`MAX_SIGNAL`](Self::MAX_SIGNAL).
    #[must_use]
    pub const fn contains(self, signal: u32) -> bool {
        let (word, bit) = Self::place(signal);
        self.0[word] & bit != 0
    }

    const fn place(signal: u32) -> (usize, Ulong) {
        assert!(
            signal >= 1 && signal <= Self::MAX_SIGNAL,
            "no signal has this number"
        );
        let index = signal as usize - 1;
        (index / WORD_BITS, 1 << (index % WORD_BITS))
    }
}

impl core::ops::Not for Sigset {
    type Output = Self;

    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}

/// The last argument of `io_pgetevents`: the address and the size of the signal mask.
///
/// Both fields are as wide as the kernel's long. So the structure has 16 bytes on 64-bit targets
/// and x32, and 8 bytes on 32-bit targets. Since Linux 4.18.
///
/// No header defines it. Source: `struct __aio_sigset` and `struct __compat_aio_sigset` in the
/// kernel's `fs/aio.c`.
#[doc(alias = "__aio_sigset")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AioSigset {
    /// The address of a [`Sigset`]. With 0 the thread's own mask stays in force.
    ///
    /// `EFAULT` if the set can't be read.
    pub sigmask: Ulong,
    /// The size of the set in bytes. The kernel answers `EINVAL` unless it is
    /// `size_of::<Sigset>()`. The kernel doesn't check it if `sigmask` is 0.
    pub sigsetsize: Ulong,
}

impl AioSigset {
    /// The argument for a wait with the mask at this address. With a null pointer the thread's own
    /// mask stays in force.
    ///
    /// The structure holds only the address. The kernel copies the mask at the beginning of the
    /// call, so the mask must stay valid until then.
    #[must_use]
    pub fn new(mask: *const Sigset) -> Self {
        Self {
            sigmask: mask.expose_provenance() as Ulong,
            sigsetsize: size_of::<Sigset>() as Ulong,
        }
    }
}

const_assert_eq!(size_of::<Sigset>(), SIGNALS / 8);
const_assert_eq!(size_of::<AioSigset>(), 2 * size_of::<Ulong>());
const_assert_eq!(core::mem::offset_of!(AioSigset, sigmask), 0);
const_assert_eq!(
    core::mem::offset_of!(AioSigset, sigsetsize),
    size_of::<Ulong>()
);

#[cfg(test)]
mod tests {
    use super::Sigset;

    #[test]
    fn each_signal_has_a_bit_of_its_own() {
        let mut set = Sigset::EMPTY;
        for signal in 1..=Sigset::MAX_SIGNAL {
            assert!(!set.contains(signal));
            set = set.with(signal);
            assert!(set.contains(signal));
        }
        assert_eq!(set, Sigset::FULL);
        assert_eq!(!set, Sigset::EMPTY);
        assert!(
            !set.without(1)
                .without(Sigset::MAX_SIGNAL)
                .with(1)
                .contains(64)
        );
    }

    #[test]
    #[should_panic(expected = "no signal")]
    fn signal_zero_is_refused() {
        let _ = Sigset::EMPTY.with(0);
    }

    #[test]
    #[should_panic(expected = "no signal")]
    fn the_signal_after_the_last_is_refused() {
        let _ = Sigset::EMPTY.with(Sigset::MAX_SIGNAL + 1);
    }
}
