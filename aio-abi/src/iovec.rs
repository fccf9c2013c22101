//! One buffer of several.

use core::ffi::c_void;

use static_assertions::const_assert_eq;

/// One buffer of several, for [`Iocb::preadv`](crate::Iocb::preadv) and
/// [`Iocb::pwritev`](crate::Iocb::pwritev).
///
/// The kernel copies the array in `io_submit`: it may be freed as soon as that call returns; the
/// buffers may not.
///
/// The same layout as `libc::iovec`, and as `std::io::IoSlice` and `IoSliceMut` guarantee for
/// themselves on Unix: cast the pointer to the array.
///
/// Source: `struct iovec` in `linux/uio.h`.
#[doc(alias = "iovec")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Iovec {
    /// The first byte of the buffer.
    pub iov_base: *mut c_void,
    /// Its length in bytes.
    pub iov_len: usize,
}

impl Iovec {
    /// The most buffers that the kernel takes in one request (`EINVAL` beyond).
    #[doc(alias = "UIO_MAXIOV")]
    #[doc(alias = "IOV_MAX")]
    pub const MAX_COUNT: usize = 1024;
}

const_assert_eq!(size_of::<Iovec>(), 2 * size_of::<usize>());
const_assert_eq!(core::mem::offset_of!(Iovec, iov_base), 0);
const_assert_eq!(core::mem::offset_of!(Iovec, iov_len), size_of::<usize>());
