//! One buffer of a vectored request.

use core::ffi::c_void;

use static_assertions::const_assert_eq;

/// One buffer of a vectored request, for [`Iocb::preadv`](crate::Iocb::preadv) and
/// [`Iocb::pwritev`](crate::Iocb::pwritev).
///
/// `io_submit` copies the array of iovecs, so the array may be freed when the call has returned.
/// The buffers may not.
///
/// The layout is that of `libc::iovec`. `std::io::IoSlice` and `IoSliceMut` guarantee the same
/// layout on Unix, so a pointer to an array of them can be cast.
///
/// Source: `struct iovec` in `linux/uio.h`.
#[doc(alias = "iovec")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Iovec {
    /// The first byte of the buffer.
    pub iov_base: *mut c_void,
    /// The length of the buffer in bytes.
    pub iov_len: usize,
}

impl Iovec {
    /// The highest number of buffers in one request. The kernel answers `EINVAL` to more.
    #[doc(alias = "UIO_MAXIOV")]
    #[doc(alias = "IOV_MAX")]
    pub const MAX_COUNT: usize = 1024;
}

const_assert_eq!(size_of::<Iovec>(), 2 * size_of::<usize>());
const_assert_eq!(core::mem::offset_of!(Iovec, iov_base), 0);
const_assert_eq!(core::mem::offset_of!(Iovec, iov_len), size_of::<usize>());
