//! Timeouts: the old timespec, and the timespec that has 64-bit fields on every target.

use core::{mem::offset_of, time::Duration};

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ulong::Long;

/// The old timespec: two longs. `io_getevents` takes it, and on 64-bit targets `io_pgetevents` too.
///
/// A long has 32 bits on 32-bit targets. That is enough here, because the calls take a duration and
/// not a date. On x32 it is the kernel's long, which has 64 bits.
///
/// ```
/// use aio_abi::Timespec;
/// use core::time::Duration;
///
/// let second_and_a_half = Timespec::from_duration(Duration::from_millis(1500));
/// assert_eq!(second_and_a_half, Timespec { tv_sec: 1, tv_nsec: 500_000_000 });
/// ```
///
/// Source: `struct __kernel_old_timespec` in `linux/time_types.h`.
#[doc(alias = "__kernel_old_timespec")]
#[doc(alias = "timespec")]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Seconds. The calls of native AIO wait **without limit** if this is negative.
    pub tv_sec: Long,
    /// Nanoseconds, added to the seconds. The calls of native AIO don't check that this is below
    /// 10⁹: a value of 2 000 000 000 waits for two seconds.
    pub tv_nsec: Long,
}

/// The timespec that has 64-bit fields on every target. `io_pgetevents_time64` takes it, which
/// 32-bit targets have since Linux 5.1.
///
/// Source: `struct __kernel_timespec` in `linux/time_types.h`.
#[doc(alias = "__kernel_timespec")]
#[doc(alias = "timespec")]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct Timespec64 {
    /// Seconds. The calls of native AIO wait **without limit** if this is negative.
    pub tv_sec: i64,
    /// Nanoseconds, added to the seconds. The calls of native AIO don't check that this is below
    /// 10⁹. On 32-bit targets the kernel ignores the upper half.
    pub tv_nsec: i64,
}

macro_rules! from_duration {
    ($name:ident, $field:ty) => {
        impl $name {
            /// The timespec for this duration. If the duration is too long for the type, the
            /// result is the longest timespec.
            #[must_use]
            pub const fn from_duration(duration: Duration) -> Self {
                let longest = <$field>::MAX;
                if duration.as_secs() > longest as u64 {
                    return Self {
                        tv_sec: longest,
                        tv_nsec: 999_999_999,
                    };
                }
                Self {
                    tv_sec: duration.as_secs() as $field,
                    tv_nsec: duration.subsec_nanos() as $field,
                }
            }
        }

        impl From<Duration> for $name {
            /// The same as [`from_duration`](Self::from_duration).
            fn from(duration: Duration) -> Self {
                Self::from_duration(duration)
            }
        }

        const_assert_eq!(size_of::<$name>(), 2 * size_of::<$field>());
        const_assert_eq!(offset_of!($name, tv_sec), 0);
        const_assert_eq!(offset_of!($name, tv_nsec), size_of::<$field>());
    };
}

from_duration!(Timespec, Long);
from_duration!(Timespec64, i64);

#[cfg(test)]
mod tests {
    use super::{Timespec, Timespec64};
    use core::time::Duration;

    #[test]
    fn durations_beyond_the_longest_stay_positive() {
        let longest = Timespec64::from(Duration::MAX);
        assert_eq!(
            longest,
            Timespec64 {
                tv_sec: i64::MAX,
                tv_nsec: 999_999_999
            }
        );
        let longest = Timespec::from(Duration::MAX);
        assert!(longest.tv_sec > 0 && longest.tv_sec.checked_add(1).is_none());
    }

    #[test]
    fn nanoseconds_are_kept() {
        let short = Timespec::from(Duration::new(3, 999_999_999));
        assert_eq!((short.tv_sec, short.tv_nsec), (3, 999_999_999));
    }
}
