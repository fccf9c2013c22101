//! The operations: the values of `aio_lio_opcode`.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The operation of a request: the value of [`Iocb::aio_lio_opcode`](crate::Iocb::aio_lio_opcode).
///
/// The type can hold any number, so an opcode that this crate doesn't know survives a round trip.
/// The kernel answers `EINVAL` to an opcode that it doesn't know. It checks the file descriptor
/// first: a bad descriptor gives `EBADF` with any opcode.
///
/// ```
/// use aio_abi::Opcode;
///
/// assert_eq!(format!("{:?}", Opcode::PREAD), "PREAD");
/// assert_eq!(format!("{:?}", Opcode(99)), "Opcode(99)");
/// ```
///
/// Source: `enum` in `linux/aio_abi.h`; `__io_submit_one` in the kernel's `fs/aio.c`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Opcode(pub u16);

impl Opcode {
    /// Reads into one buffer, as `pread(2)` does. Since Linux 2.5.
    #[doc(alias = "IOCB_CMD_PREAD")]
    pub const PREAD: Self = Self(0);
    /// Writes from one buffer, as `pwrite(2)` does. Since Linux 2.5.
    #[doc(alias = "IOCB_CMD_PWRITE")]
    pub const PWRITE: Self = Self(1);
    /// Writes a file's data and metadata to the medium, as `fsync(2)` does.
    ///
    /// The header has always had this opcode. The kernel implements it since Linux 4.18, and
    /// answers `EINVAL` before.
    #[doc(alias = "IOCB_CMD_FSYNC")]
    pub const FSYNC: Self = Self(2);
    /// Writes a file's data, and the metadata needed to read it, to the medium, as `fdatasync(2)`
    /// does.
    ///
    /// Implemented since Linux 4.18, as [`FSYNC`](Self::FSYNC) is.
    #[doc(alias = "IOCB_CMD_FDSYNC")]
    pub const FDSYNC: Self = Self(3);
    /// An experimental read that was never released. **No kernel implements it:** the answer is
    /// `EINVAL`. The header only has a comment with this number, and no constant.
    #[doc(alias = "IOCB_CMD_PREADX")]
    pub const PREADX: Self = Self(4);
    /// Waits until a file is ready, as `poll(2)` does for one descriptor. Since Linux 4.19.
    ///
    /// Kernels before 5.16 can lose a wake-up. The stable series of that time were fixed as well.
    #[doc(alias = "IOCB_CMD_POLL")]
    pub const POLL: Self = Self(5);
    /// Defined in the header, but **no kernel implements it:** the answer is `EINVAL`.
    #[doc(alias = "IOCB_CMD_NOOP")]
    pub const NOOP: Self = Self(6);
    /// Reads into several buffers, as `preadv(2)` does. Since Linux 2.6.19.
    #[doc(alias = "IOCB_CMD_PREADV")]
    pub const PREADV: Self = Self(7);
    /// Writes from several buffers, as `pwritev(2)` does. Since Linux 2.6.19.
    #[doc(alias = "IOCB_CMD_PWRITEV")]
    pub const PWRITEV: Self = Self(8);

    /// The opcode's name without the prefix `IOCB_CMD_`, or `None` if the number has no name.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PREAD => "PREAD",
            Self::PWRITE => "PWRITE",
            Self::FSYNC => "FSYNC",
            Self::FDSYNC => "FDSYNC",
            Self::PREADX => "PREADX",
            Self::POLL => "POLL",
            Self::NOOP => "NOOP",
            Self::PREADV => "PREADV",
            Self::PWRITEV => "PWRITEV",
            _ => return None,
        })
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("Opcode").field(&self.0).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Opcode;
    use std::vec::Vec;

    #[test]
    fn every_number_up_to_eight_has_a_name_and_no_other() {
        let named: Vec<u16> = (0..=u16::MAX)
            .filter(|&n| Opcode(n).name().is_some())
            .collect();
        assert_eq!(named, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
