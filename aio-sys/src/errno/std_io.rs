//! Conversions between [`Errno`] and [`std::io::Error`].

use std::io;

use super::Errno;

impl From<Errno> for io::Error {
    /// The same number, as from `from_raw_os_error`.
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.raw())
    }
}

impl Errno {
    /// The number that an [`io::Error`] holds, or `None` if it holds none, or one that is not from
    /// 1 to 4095.
    #[must_use]
    pub fn from_io_error(error: &io::Error) -> Option<Self> {
        error.raw_os_error().and_then(Self::from_raw)
    }
}
