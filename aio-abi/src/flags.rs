//! The two sets of flags of a request: `aio_flags` and `aio_rw_flags`.

use core::fmt;

use bitflags::{Flags, bitflags, parser, parser::WriteHex};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which optional fields of an [`Iocb`](crate::Iocb) are in use: the value of
/// [`Iocb::aio_flags`](crate::Iocb::aio_flags).
///
/// The type keeps bits that have no name. The kernel (up to 7.2) ignores such bits.
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
        /// [`aio_resfd`](crate::Iocb::aio_resfd) is an eventfd. The kernel adds 1 to it after it
        /// has put the event into the ring. Since Linux 2.6.22.
        ///
        /// `EBADF` if that descriptor isn't open. `EINVAL` if it isn't an eventfd.
        #[doc(alias = "IOCB_FLAG_RESFD")]
        const RESFD = 1 << 0;
        /// [`aio_reqprio`](crate::Iocb::aio_reqprio) holds an I/O priority. Since Linux 4.18. Reads
        /// and writes use it, other opcodes ignore it.
        ///
        /// `EPERM` for the real-time class without `CAP_SYS_ADMIN` or `CAP_SYS_NICE`. `EINVAL` for
        /// a class that doesn't exist, and for class [`NONE`](crate::IoPrioClass::NONE) with a
        /// level other than 0.
        #[doc(alias = "IOCB_FLAG_IOPRIO")]
        const IOPRIO = 1 << 1;

        const _ = !0;
    }
}

/// Flags of a read or write, as in `preadv2(2)`: the value of
/// [`Iocb::aio_rw_flags`](crate::Iocb::aio_rw_flags).
///
/// Since Linux 4.13. Before 4.13 the field was reserved and had to be 0 (`EINVAL`).
///
/// The type keeps bits that have no name. The kernel answers `EOPNOTSUPP` to a flag that it doesn't
/// know, and to a flag that the file doesn't support. So a kernel version doesn't tell whether a
/// flag works: try it on the file. The kernel answers `EINVAL` to any flag of a request that is
/// neither a read nor a write.
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
        /// High priority: the kernel polls the device for the completion, if the device supports
        /// this. Since Linux 4.13.
        ///
        /// Native AIO ignores this flag since Linux 5.1 (and 4.19.y): it clears it without an
        /// error.
        #[doc(alias = "RWF_HIPRI")]
        const HIPRI = 0x1;
        /// The write completes only when its data is on the medium, as with `O_DSYNC`. Since Linux
        /// 4.13.
        #[doc(alias = "RWF_DSYNC")]
        const DSYNC = 0x2;
        /// The write completes only when its data and metadata are on the medium, as with `O_SYNC`.
        /// Since Linux 4.13.
        #[doc(alias = "RWF_SYNC")]
        const SYNC = 0x4;
        /// The request fails with `EAGAIN` if `io_submit` would have to wait for it. Since Linux
        /// 4.14.
        ///
        /// That `EAGAIN` is the result in the event. `EOPNOTSUPP` for files that don't support the
        /// flag: some file systems report this for a buffered write only in the event.
        #[doc(alias = "RWF_NOWAIT")]
        const NOWAIT = 0x8;
        /// The write goes to the end of the file and ignores the offset, as with `O_APPEND`. Since
        /// Linux 4.16.
        #[doc(alias = "RWF_APPEND")]
        const APPEND = 0x10;
        /// The write goes to the offset even if the file was opened with `O_APPEND`. Since Linux
        /// 6.9.
        ///
        /// `EINVAL` together with [`APPEND`](Self::APPEND). `EPERM` if the inode is append-only.
        #[doc(alias = "RWF_NOAPPEND")]
        const NOAPPEND = 0x20;
        /// The write happens as a whole or not at all, even if the power fails. Since Linux 6.11.
        ///
        /// `EOPNOTSUPP` for files that can't guarantee this. Length and alignment must be within
        /// the limits that `statx(2)` reports with `STATX_WRITE_ATOMIC`.
        #[doc(alias = "RWF_ATOMIC")]
        const ATOMIC = 0x40;
        /// Buffered I/O that drops its pages from the page cache afterwards. Since Linux 6.14.
        ///
        /// `EOPNOTSUPP` if the file system doesn't support it.
        #[doc(alias = "RWF_DONTCACHE")]
        const DONTCACHE = 0x80;
        /// A write to a pipe or socket whose other end is closed sends no `SIGPIPE`. Since Linux
        /// 6.18.
        #[doc(alias = "RWF_NOSIGNAL")]
        const NOSIGNAL = 0x100;

        const _ = !0;
    }
}

/// Shows the names of the flags that are set, and all other bits as one number.
impl fmt::Debug for IocbFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("IocbFlags", self, f)
    }
}

/// Shows the names of the flags that are set, and all other bits as one number.
impl fmt::Debug for RwFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("RwFlags", self, f)
    }
}

/// Writes flags in the form that bitflags uses for the types that it generates:
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
