//! Conversions between [`Errno`] and [`std::io::Error`].

use std::io;

use super::Errno;

impl From<Errno> for io::Error {
    /// The [`io::Error`] with the same number, as `from_raw_os_error` makes it.
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.raw())
    }
}

impl Errno {
    /// The error with the number that an [`io::Error`] holds. `None` if it holds no number, or a
    /// number that isn't from 1 to 4095.
    #[must_use]
    pub fn from_io_error(error: &io::Error) -> Option<Self> {
        error.raw_os_error().and_then(Self::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Errno;

    #[test]
    fn there_and_back() {
        for errno in (1..=4095).filter_map(Errno::from_raw) {
            let error = io::Error::from(errno);
            assert_eq!(error.raw_os_error(), Some(errno.raw()));
            assert_eq!(Errno::from_io_error(&error), Some(errno));
        }
        assert_eq!(
            io::Error::from(Errno::EAGAIN).kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn other_errors_have_none() {
        assert_eq!(Errno::from_io_error(&io::Error::other("no number")), None);
        for raw in [i32::MIN, -11, 0, 4096] {
            assert_eq!(
                Errno::from_io_error(&io::Error::from_raw_os_error(raw)),
                None
            );
        }
    }
}
