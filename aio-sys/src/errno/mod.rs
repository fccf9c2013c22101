//! The errors of calls and requests.

use core::{fmt, num::NonZero};

#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
    target_arch = "sparc",
    target_arch = "sparc64"
)))]
#[path = "generic.rs"]
mod numbers;
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
#[path = "mips.rs"]
mod numbers;
#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
#[path = "sparc.rs"]
mod numbers;

mod names;
#[cfg(feature = "std")]
mod std_io;

/// The error of a call or of a request: a number from 1 to 4095.
///
/// The numbers differ between architectures. The constants have the numbers of the target. The type
/// can also hold a number without a name.
///
/// The type is as wide as a register, so that a `Result<usize, Errno>` fits in two registers and
/// isn't returned through memory.
///
/// ```
/// use aio_sys::Errno;
///
/// let errno = Errno::from_raw(11).unwrap();
/// assert_eq!(errno, Errno::EAGAIN);
/// assert_eq!(errno.to_string(), "EAGAIN: resource temporarily unavailable");
/// assert_eq!(Errno::from_raw(0), None);
/// ```
///
/// An event's [`res`](aio_abi::IoEvent::res) is a count or a negative errno.
/// [`from_result`](Self::from_result) tells them apart.
#[doc(alias = "errno")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Errno(NonZero<usize>);

/// The highest error number. A system call returns an error as a value from -4095 to -1.
const MAX: u16 = 4095;

impl Errno {
    /// The error with a number from the tables.
    const fn known(number: u16) -> Self {
        assert!(number <= MAX);
        match NonZero::new(number as usize) {
            Some(number) => Self(number),
            None => panic!("no error has the number 0"),
        }
    }

    /// The error with this positive number, or `None` if the number isn't from 1 to 4095.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Option<Self> {
        if raw < 1 || raw > MAX as i32 {
            return None;
        }
        match NonZero::new(raw as usize) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, from 1 to 4095.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0.get() as i32
    }

    /// Converts an event's [`res`](aio_abi::IoEvent::res) to a count or an error.
    ///
    /// `None` for a number below -4095, which is neither. No kernel stores such a number.
    ///
    /// ```
    /// use aio_sys::Errno;
    ///
    /// assert_eq!(Errno::from_result(512), Some(Ok(512)));
    /// assert_eq!(Errno::from_result(-5), Some(Err(Errno::EIO)));
    /// assert_eq!(Errno::from_result(-4096), None);
    /// ```
    #[must_use]
    pub const fn from_result(res: i64) -> Option<Result<u64, Self>> {
        if res >= 0 {
            return Some(Ok(res as u64));
        }
        if res < -(MAX as i64) {
            return None;
        }
        match Self::from_raw(-res as i32) {
            Some(errno) => Some(Err(errno)),
            None => None,
        }
    }

    /// The name, such as `"EAGAIN"`, or `None` if the number has none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self.entry() {
            Some((name, _)) => Some(name),
            None => None,
        }
    }

    /// The general meaning of the error, in a few words. Each call's page says what the error means
    /// for that call.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self.entry() {
            Some((_, description)) => description,
            None => "unknown error",
        }
    }

    /// The error that a system call's return value stands for, or `None` if the value isn't from
    /// -4095 to -1.
    #[inline(always)]
    pub(crate) const fn from_return_value(value: isize) -> Option<Self> {
        if (value as usize) < -(MAX as isize) as usize {
            return None;
        }
        // The value is from -4095 to -1, so the number isn't 0 and this is never `None`.
        match NonZero::new(-value as usize) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("Errno").field(&self.0).finish(),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Some((name, description)) => write!(f, "{name}: {description}"),
            None => write!(f, "error {}: unknown error", self.0),
        }
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, string::ToString};

    use super::Errno;

    #[test]
    fn only_1_to_4095_are_errors() {
        for raw in [i32::MIN, -4096, -11, -1, 0, 4096, 0x1_000b, i32::MAX] {
            assert_eq!(Errno::from_raw(raw), None, "{raw}");
        }
        for raw in 1..=4095 {
            assert_eq!(Errno::from_raw(raw).map(Errno::raw), Some(raw));
        }
    }

    #[test]
    fn return_values_and_results_are_told_apart_at_the_edges() {
        for value in [isize::MIN, -4096, 0, 1, isize::MAX] {
            assert_eq!(Errno::from_return_value(value), None, "{value}");
        }
        assert_eq!(Errno::from_return_value(-1), Some(Errno::EPERM));
        assert_eq!(Errno::from_return_value(-4095), Errno::from_raw(4095));
        assert_eq!(Errno::from_result(i64::MAX), Some(Ok(i64::MAX as u64)));
        assert_eq!(Errno::from_result(-4095), Errno::from_raw(4095).map(Err));
        // As a 32-bit number this would be -11.
        assert_eq!(Errno::from_result(-11 - (1 << 32)), None);
        assert_eq!(Errno::from_result(i64::MIN), None);
    }

    #[test]
    fn names_are_unique_and_shown() {
        let named: BTreeSet<_> = (1..=4095)
            .filter_map(Errno::from_raw)
            .filter_map(Errno::name)
            .collect();
        assert_eq!(named.len(), 132);
        assert!(!named.contains("EWOULDBLOCK"), "EAGAIN's other name");
        assert_eq!(Errno::EINVAL.to_string(), "EINVAL: invalid argument");
        let nameless = Errno::from_raw(4000).unwrap();
        assert_eq!(nameless.to_string(), "error 4000: unknown error");
        assert_eq!(
            std::format!("{:?} {nameless:?}", Errno::EIO),
            "EIO Errno(4000)"
        );
    }

    #[test]
    fn an_option_costs_nothing() {
        assert_eq!(size_of::<Option<Errno>>(), size_of::<usize>());
    }
}
