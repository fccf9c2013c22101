//! The control block of one request.

use core::mem::offset_of;
use static_assertions::{assert_eq_align, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{IoPrio, IocbFlags, Iovec, Opcode, RwFlags};

/// The value of [`Iocb::aio_key`] after submission. `io_submit` stores it, and `io_cancel` expects
/// it.
///
/// No header defines it, only the kernel's source (`fs/aio.c`).
pub const KIOCB_KEY: u32 = 0;

/// The control block of one request: which operation, on which file, with which buffer.
///
/// `io_submit` copies the iocb and stores [`aio_key`](Self::aio_key) in it, so the iocb must be
/// writable. It may be freed when `io_submit` has returned. The buffers may not: **they must stay
/// valid until the event is in the ring**, or until `io_destroy` has returned.
///
/// Each function below makes a request for one opcode. It sets the fields that the opcode doesn't
/// use to 0, as the kernel requires. All fields are public, so a program can set the others:
///
/// ```
/// use aio_abi::{Iocb, RwFlags};
///
/// let mut buffer = [0; 512];
/// let iocb = Iocb {
///     aio_data: 7,
///     aio_rw_flags: RwFlags::NOWAIT,
///     ..Iocb::pread(3, buffer.as_mut_ptr(), buffer.len(), 4096)
/// };
/// assert_eq!(iocb.aio_offset, 4096);
/// ```
///
/// Source: `struct iocb` in `linux/aio_abi.h`; `__io_submit_one` in the kernel's `fs/aio.c`.
#[doc(alias = "iocb")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Iocb {
    /// A number for the program's own use. The kernel returns it in
    /// [`IoEvent::data`](crate::IoEvent::data).
    pub aio_data: u64,
    /// A number for the kernel's own use. `io_submit` stores [`KIOCB_KEY`] here, and `io_cancel`
    /// expects to find it.
    ///
    /// The field is before [`aio_rw_flags`](Self::aio_rw_flags) on little-endian targets, and after
    /// it on big-endian targets.
    #[cfg(target_endian = "little")]
    pub aio_key: u32,
    /// Flags of the read or write. Since Linux 4.13. Before 4.13, and for other opcodes, the field
    /// must be 0 (`EINVAL`).
    pub aio_rw_flags: RwFlags,
    /// A number for the kernel's own use. `io_submit` stores [`KIOCB_KEY`] here, and `io_cancel`
    /// expects to find it.
    ///
    /// The field is before [`aio_rw_flags`](Self::aio_rw_flags) on little-endian targets, and after
    /// it on big-endian targets.
    #[cfg(target_endian = "big")]
    pub aio_key: u32,
    /// The operation. `EINVAL` if the kernel doesn't know it.
    pub aio_lio_opcode: Opcode,
    /// The I/O priority. The kernel uses it only if [`IocbFlags::IOPRIO`] is set.
    pub aio_reqprio: IoPrio,
    /// The file descriptor. `EBADF` if it isn't open, or isn't open for this operation.
    pub aio_fildes: u32,
    /// The address of the buffer. For the vectored opcodes, the address of the array of [`Iovec`]s.
    /// For a poll, the set of events. For a sync, 0.
    ///
    /// `EINVAL` if the number doesn't fit into the kernel's `unsigned long`. A bad address gives
    /// `EFAULT` in the event. Only an address in the kernel's half makes `io_submit` itself fail.
    pub aio_buf: u64,
    /// The length in bytes. For the vectored opcodes, the number of [`Iovec`]s. For the other
    /// opcodes, 0.
    ///
    /// `EINVAL` if the number is negative as the kernel's `ssize_t`. The kernel shortens a transfer
    /// to at most 2 GiB less one page.
    pub aio_nbytes: u64,
    /// The position in the file, in bytes. `EINVAL` if it is negative. For a sync or a poll, 0.
    pub aio_offset: i64,
    /// Reserved. It must be 0: the kernel answers `EINVAL` to any other value.
    pub aio_reserved2: u64,
    /// Which optional fields are in use.
    pub aio_flags: IocbFlags,
    /// The eventfd to signal. The kernel uses it only if [`IocbFlags::RESFD`] is set.
    pub aio_resfd: u32,
}

impl Iocb {
    /// Reads up to `len` bytes at `offset` of a file into `buf`. [`Opcode::PREAD`], since Linux
    /// 2.5.
    ///
    /// The event's `res` is the number of bytes that were read. It can be less than `len`, and it
    /// is 0 at the end of the file.
    ///
    /// With `O_DIRECT`, the address, the length and the offset must be aligned as the file requires
    /// it. If they aren't, the event's `res` is `-EINVAL`.
    #[doc(alias = "IOCB_CMD_PREAD")]
    #[must_use]
    pub fn pread(fd: i32, buf: *mut u8, len: usize, offset: i64) -> Self {
        Self::transfer(Opcode::PREAD, fd, buf.expose_provenance(), len, offset)
    }

    /// Writes up to `len` bytes from `buf` at `offset` of a file. [`Opcode::PWRITE`], since Linux
    /// 2.5.
    ///
    /// The event's `res` is the number of bytes that were written. The alignment rules are those of
    /// [`pread`](Self::pread).
    #[doc(alias = "IOCB_CMD_PWRITE")]
    #[must_use]
    pub fn pwrite(fd: i32, buf: *const u8, len: usize, offset: i64) -> Self {
        Self::transfer(Opcode::PWRITE, fd, buf.expose_provenance(), len, offset)
    }

    /// Reads into `count` buffers, one after another. [`Opcode::PREADV`], since Linux 2.6.19.
    ///
    /// The array at `iov` may be freed when `io_submit` has returned. The buffers may not. `EINVAL`
    /// if `count` is more than [`Iovec::MAX_COUNT`].
    #[doc(alias = "IOCB_CMD_PREADV")]
    #[must_use]
    pub fn preadv(fd: i32, iov: *const Iovec, count: usize, offset: i64) -> Self {
        Self::transfer(Opcode::PREADV, fd, iov.expose_provenance(), count, offset)
    }

    /// Writes from `count` buffers, one after another. [`Opcode::PWRITEV`], since Linux 2.6.19.
    ///
    /// The rules are those of [`preadv`](Self::preadv).
    #[doc(alias = "IOCB_CMD_PWRITEV")]
    #[must_use]
    pub fn pwritev(fd: i32, iov: *const Iovec, count: usize, offset: i64) -> Self {
        Self::transfer(Opcode::PWRITEV, fd, iov.expose_provenance(), count, offset)
    }

    /// Writes the file's data and metadata to the medium. [`Opcode::FSYNC`], since Linux 4.18.
    ///
    /// It covers only writes whose events were there before this request was submitted: the kernel
    /// doesn't order requests that are in flight. `EINVAL` for files that can't be synced (pipes,
    /// sockets) and on kernels before 4.18.
    #[doc(alias = "IOCB_CMD_FSYNC")]
    #[must_use]
    pub fn fsync(fd: i32) -> Self {
        Self::transfer(Opcode::FSYNC, fd, 0, 0, 0)
    }

    /// Writes the file's data to the medium, and the metadata needed to read it.
    /// [`Opcode::FDSYNC`], since Linux 4.18.
    ///
    /// The rules are those of [`fsync`](Self::fsync).
    #[doc(alias = "IOCB_CMD_FDSYNC")]
    #[must_use]
    pub fn fdsync(fd: i32) -> Self {
        Self::transfer(Opcode::FDSYNC, fd, 0, 0, 0)
    }

    /// Waits until the file is ready for one of the events (`POLLIN`, `POLLOUT`, …).
    /// [`Opcode::POLL`], since Linux 4.19.
    ///
    /// A poll completes once. The event's `res` is the set of events that are ready. It can contain
    /// `POLLERR` and `POLLHUP` even if the request didn't ask for them. It is 0 if the poll was
    /// cancelled. `EINVAL` for files that can't be polled. Only polls can be cancelled with
    /// `io_cancel`.
    #[doc(alias = "IOCB_CMD_POLL")]
    #[must_use]
    pub fn poll(fd: i32, events: u16) -> Self {
        Self::transfer(Opcode::POLL, fd, usize::from(events), 0, 0)
    }

    /// The same request, which also adds 1 to this eventfd when it completes. Sets
    /// [`aio_resfd`](Self::aio_resfd) and [`IocbFlags::RESFD`]. Since Linux 2.6.22.
    #[must_use]
    pub const fn with_resfd(mut self, eventfd: i32) -> Self {
        self.aio_flags = self.aio_flags.union(IocbFlags::RESFD);
        self.aio_resfd = eventfd as u32;
        self
    }

    /// The same request with this I/O priority. Sets [`aio_reqprio`](Self::aio_reqprio) and
    /// [`IocbFlags::IOPRIO`]. Since Linux 4.18.
    #[must_use]
    pub const fn with_ioprio(mut self, ioprio: IoPrio) -> Self {
        self.aio_flags = self.aio_flags.union(IocbFlags::IOPRIO);
        self.aio_reqprio = ioprio;
        self
    }

    fn transfer(opcode: Opcode, fd: i32, buf: usize, nbytes: usize, offset: i64) -> Self {
        Self {
            aio_lio_opcode: opcode,
            aio_fildes: fd as u32,
            aio_buf: buf as u64,
            aio_nbytes: nbytes as u64,
            aio_offset: offset,
            ..Self::default()
        }
    }
}

const_assert_eq!(size_of::<Iocb>(), 64);
assert_eq_align!(Iocb, u64);
assert_impl_all!(Iocb: Send, Sync, Unpin, Copy);

const_assert_eq!(offset_of!(Iocb, aio_data), 0);
const_assert_eq!(
    offset_of!(Iocb, aio_key),
    if cfg!(target_endian = "little") {
        8
    } else {
        12
    }
);
const_assert_eq!(
    offset_of!(Iocb, aio_rw_flags),
    if cfg!(target_endian = "little") {
        12
    } else {
        8
    }
);
const_assert_eq!(offset_of!(Iocb, aio_lio_opcode), 16);
const_assert_eq!(offset_of!(Iocb, aio_reqprio), 18);
const_assert_eq!(offset_of!(Iocb, aio_fildes), 20);
const_assert_eq!(offset_of!(Iocb, aio_buf), 24);
const_assert_eq!(offset_of!(Iocb, aio_nbytes), 32);
const_assert_eq!(offset_of!(Iocb, aio_offset), 40);
const_assert_eq!(offset_of!(Iocb, aio_reserved2), 48);
const_assert_eq!(offset_of!(Iocb, aio_flags), 56);
const_assert_eq!(offset_of!(Iocb, aio_resfd), 60);

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use memoffset::span_of;
    use zerocopy::{FromBytes, IntoBytes};

    use super::Iocb;
    use crate::{IoPrio, IoPrioClass, IocbFlags, Iovec, Opcode, RwFlags};

    #[test]
    fn the_fields_cover_the_whole_without_a_gap() {
        let mut spans = [
            span_of!(Iocb, aio_data),
            span_of!(Iocb, aio_key),
            span_of!(Iocb, aio_rw_flags),
            span_of!(Iocb, aio_lio_opcode),
            span_of!(Iocb, aio_reqprio),
            span_of!(Iocb, aio_fildes),
            span_of!(Iocb, aio_buf),
            span_of!(Iocb, aio_nbytes),
            span_of!(Iocb, aio_offset),
            span_of!(Iocb, aio_reserved2),
            span_of!(Iocb, aio_flags),
            span_of!(Iocb, aio_resfd),
        ];
        spans.sort_by_key(|span| span.start);
        let mut end = 0;
        for span in spans {
            assert_eq!(span.start, end);
            end = span.end;
        }
        assert_eq!(end, size_of::<Iocb>());
    }

    /// Each function's request is compared field by field.
    #[test]
    fn each_opcode_uses_its_fields_and_leaves_the_rest_at_zero() {
        let mut buffer = [0_u8; 8];
        let read = buffer.as_mut_ptr();
        let iov = Iovec {
            iov_base: read.cast(),
            iov_len: 8,
        };
        let buf = read.addr() as u64;
        let array = (&raw const iov).addr() as u64;
        let cases = [
            (Iocb::pread(5, read, 8, 16), Opcode::PREAD, buf, 8, 16),
            (Iocb::pwrite(5, read, 8, 16), Opcode::PWRITE, buf, 8, 16),
            (Iocb::preadv(5, &iov, 1, 16), Opcode::PREADV, array, 1, 16),
            (Iocb::pwritev(5, &iov, 1, 16), Opcode::PWRITEV, array, 1, 16),
            (Iocb::fsync(5), Opcode::FSYNC, 0, 0, 0),
            (Iocb::fdsync(5), Opcode::FDSYNC, 0, 0, 0),
            (Iocb::poll(5, 0xffff), Opcode::POLL, 0xffff, 0, 0),
        ];
        for (made, opcode, aio_buf, aio_nbytes, aio_offset) in cases {
            let expected = Iocb {
                aio_data: 0,
                aio_key: 0,
                aio_rw_flags: RwFlags::empty(),
                aio_lio_opcode: opcode,
                aio_reqprio: IoPrio::NONE,
                aio_fildes: 5,
                aio_buf,
                aio_nbytes,
                aio_offset,
                aio_reserved2: 0,
                aio_flags: IocbFlags::empty(),
                aio_resfd: 0,
            };
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn optional_fields_come_with_their_flag() {
        let low = IoPrio::new(IoPrioClass::BE, 7);
        let iocb = Iocb::fsync(5).with_resfd(6).with_ioprio(low);
        assert_eq!(iocb.aio_flags, IocbFlags::RESFD | IocbFlags::IOPRIO);
        assert_eq!((iocb.aio_resfd, iocb.aio_reqprio), (6, low));
        assert_eq!(Iocb::fsync(-1).with_resfd(-1).aio_fildes, u32::MAX);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_request_and_survive(bytes: [u8; 32], more: [u8; 32]) {
            let bytes: Vec<u8> = bytes.into_iter().chain(more).collect();
            let iocb = Iocb::read_from_bytes(&bytes).unwrap();
            assert_eq!(iocb.as_bytes(), bytes);
            let flags = RwFlags::from_bits_retain(iocb.aio_rw_flags.bits());
            assert_eq!(flags, iocb.aio_rw_flags);
        }
    }
}
