//! The two sets of flags of a request: those of the iocb, and those of its read or write.

use core::fmt;

use bitflags::parser::WriteHex;
use bitflags::{Flags, bitflags, parser};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which optional fields of an [`Iocb`](crate::Iocb) are in use: the value of
/// [`Iocb::aio_flags`](crate::Iocb::aio_flags).
///
/// Bits without a name are kept. The kernel (up to 7.2) ignores them: it refuses none.
///
/// Source: `linux/aio_abi.h`.
#[derive(
    Clone,
    Copy,
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
#[repr(transparent)]
pub struct IocbFlags(u32);

bitflags! {
    impl IocbFlags: u32 {
        /// [`aio_resfd`](crate::Iocb::aio_resfd) is an eventfd, and the kernel adds 1 to it when
        /// the event is in the ring. Since Linux 2.6.22.
        ///
        /// Answered with `EBADF` if that descriptor isn't open and `EINVAL` if it is no eventfd.
        #[doc(alias = "IOCB_FLAG_RESFD")]
        const RESFD = 1 << 0;
        /// [`aio_reqprio`](crate::Iocb::aio_reqprio) holds an I/O priority. Since Linux 4.18; reads
        /// and writes only (other opcodes ignore it).
        ///
        /// Answered with `EPERM` for the real-time class without `CAP_SYS_ADMIN` or `CAP_SYS_NICE`,
        /// and `EINVAL` for a class that doesn't exist or a level where the class has none.
        #[doc(alias = "IOCB_FLAG_IOPRIO")]
        const IOPRIO = 1 << 1;

        const _ = !0;
    }
}

/// How a read or write is done: the value of [`Iocb::aio_rw_flags`](crate::Iocb::aio_rw_flags), as
/// in `preadv2(2)`.
///
/// Since Linux 4.13. Before that the field was reserved and had to be 0 (`EINVAL`). Bits without a
/// name are kept; the kernel answers `EOPNOTSUPP` to those that it doesn't know. For opcodes other
/// than reads and writes, every flag is answered with `EINVAL`.
///
/// A flag that the kernel knows can still be one that the file doesn't support: that is
/// `EOPNOTSUPP`, too. So no version number says that a flag works: try it on the file.
///
/// Source: `RWF_*` in `linux/fs.h`; `kiocb_set_rw_flags` in the kernel's `include/linux/fs.h`.
#[derive(
    Clone,
    Copy,
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
#[repr(transparent)]
pub struct RwFlags(i32);

bitflags! {
    impl RwFlags: i32 {
        /// High priority: poll for the completion where the device can. Since Linux 4.13, but
        /// native AIO clears it without an error since 5.1 (and 4.19.y).
        #[doc(alias = "RWF_HIPRI")]
        const HIPRI = 0x1;
        /// This write is complete when its data is on the medium, as with `O_DSYNC`. Since Linux
        /// 4.13.
        #[doc(alias = "RWF_DSYNC")]
        const DSYNC = 0x2;
        /// This write is complete when its data and metadata are on the medium, as with `O_SYNC`.
        /// Since Linux 4.13.
        #[doc(alias = "RWF_SYNC")]
        const SYNC = 0x4;
        /// Fail with `EAGAIN` rather than wait for anything in the submitting call. Since Linux
        /// 4.14.
        ///
        /// That `EAGAIN` comes as the completion's result. `EOPNOTSUPP` on files that can't; some
        /// file systems say so only in the completion of a buffered write.
        #[doc(alias = "RWF_NOWAIT")]
        const NOWAIT = 0x8;
        /// Write at the end of the file, whatever the offset, as with `O_APPEND`. Since Linux 4.16.
        #[doc(alias = "RWF_APPEND")]
        const APPEND = 0x10;
        /// Write at the offset, even though the file was opened with `O_APPEND`. Since Linux 6.9.
        ///
        /// `EINVAL` together with [`APPEND`](Self::APPEND), `EPERM` on an inode that is
        /// append-only.
        #[doc(alias = "RWF_NOAPPEND")]
        const NOAPPEND = 0x20;
        /// This write happens as a whole or not at all, even through a loss of power. Since Linux
        /// 6.11.
        ///
        /// `EOPNOTSUPP` where the file can't promise it. Length and alignment must be within the
        /// limits that `statx(2)` gives with `STATX_WRITE_ATOMIC`.
        #[doc(alias = "RWF_ATOMIC")]
        const ATOMIC = 0x40;
        /// Buffered, but drop the pages from the page cache afterwards. Since Linux 6.14.
        ///
        /// `EOPNOTSUPP` where the file system can't.
        #[doc(alias = "RWF_DONTCACHE")]
        const DONTCACHE = 0x80;
        /// A write to a pipe or socket without a reader sends no `SIGPIPE`. Since Linux 6.18.
        #[doc(alias = "RWF_NOSIGNAL")]
        const NOSIGNAL = 0x100;

        const _ = !0;
    }
}

/// The names of the flags that are set, joined by ` | `, and all other bits as one number.
impl fmt::Debug for IocbFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("IocbFlags", self, f)
    }
}

/// The names of the flags that are set, joined by ` | `, and all other bits as one number.
impl fmt::Debug for RwFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("RwFlags", self, f)
    }
}

/// Writes a set of flags in the form that bitflags gives to the types that it makes itself:
/// `Type(A | B | 0x80)`, and `Type(0x0)` for the empty set.
fn show<F>(name: &str, flags: &F, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    F: Flags<Bits: WriteHex>,
{
    write!(f, "{name}(")?;
    if flags.is_empty() {
        f.write_str("0x0")?;
    } else {
        parser::to_writer(flags, &mut *f)?;
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::{IocbFlags, RwFlags};
    use std::format;

    #[test]
    fn flags_are_shown_by_name_and_other_bits_as_a_number() {
        let both = IocbFlags::RESFD | IocbFlags::IOPRIO;
        assert_eq!(format!("{both:?}"), "IocbFlags(RESFD | IOPRIO)");
        let more = both | IocbFlags::from_bits_retain(0x8000_0080);
        assert_eq!(
            format!("{more:?}"),
            "IocbFlags(RESFD | IOPRIO | 0x80000080)"
        );
        assert_eq!(format!("{:?}", IocbFlags::empty()), "IocbFlags(0x0)");

        let write = RwFlags::DSYNC | RwFlags::NOSIGNAL;
        assert_eq!(format!("{write:?}"), "RwFlags(DSYNC | NOSIGNAL)");
        let unknown = RwFlags::from_bits_retain(1 << 31);
        assert_eq!(format!("{unknown:?}"), "RwFlags(0x80000000)");
        assert_eq!(format!("{:?}", RwFlags::empty()), "RwFlags(0x0)");
    }

    #[test]
    fn each_named_flag_is_shown() {
        let names =
            "HIPRI | DSYNC | SYNC | NOWAIT | APPEND | NOAPPEND | ATOMIC | DONTCACHE | NOSIGNAL";
        let all = RwFlags::from_bits_retain(0x1ff);
        assert_eq!(format!("{all:?}"), format!("RwFlags({names})"));
    }

    #[test]
    fn unknown_bits_survive() {
        assert_eq!(RwFlags::from_bits_retain(-1).bits(), -1);
        assert_eq!(RwFlags::from_bits(1 << 30).map(|f| f.bits()), Some(1 << 30));
        assert_eq!(RwFlags::from_bits_truncate(i32::MIN).bits(), i32::MIN);
        assert_eq!((!RwFlags::SYNC).bits(), !4);
        assert_eq!(IocbFlags::from_bits_truncate(u32::MAX).bits(), u32::MAX);
    }
}
