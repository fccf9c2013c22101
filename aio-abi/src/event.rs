//! What the kernel says about a request that has ended.

use core::mem::offset_of;
use static_assertions::{assert_eq_align, assert_eq_size, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the kernel says about a request that has ended: one entry of the completion ring.
///
/// Reading one from bytes is safe, and every value is possible:
///
/// ```
/// use aio_abi::IoEvent;
/// use zerocopy::{FromBytes, IntoBytes};
///
/// let event = IoEvent { data: 7, obj: 0, res: -5, res2: 0 };
/// let (copy, _rest) = IoEvent::read_from_prefix(event.as_bytes()).unwrap();
/// assert_eq!(copy, event);
/// ```
///
/// `data` and `obj` are plain numbers. Don't follow them as pointers without a check of your own: a
/// head index that is wrong makes `io_getevents` hand out events a second time.
///
/// Source: `struct io_event` in `linux/aio_abi.h`.
#[doc(alias = "io_event")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IoEvent {
    /// The request's [`aio_data`](crate::Iocb::aio_data), unchanged.
    pub data: u64,
    /// The address that the request's iocb had when it was submitted.
    pub obj: u64,
    /// What the operation returned: a count of bytes (or, for a poll, the events that are ready),
    /// or an errno times -1.
    ///
    /// It is signed in the kernel's header; libaio's calls it unsigned.
    pub res: i64,
    /// Always 0, but for USB gadgets (a second status, on kernels before 5.16).
    pub res2: i64,
}

const_assert_eq!(size_of::<IoEvent>(), 32);
assert_eq_align!(IoEvent, u64);
assert_eq_size!(IoEvent, [u64; 4]);
const_assert_eq!(offset_of!(IoEvent, data), 0);
const_assert_eq!(offset_of!(IoEvent, obj), 8);
const_assert_eq!(offset_of!(IoEvent, res), 16);
const_assert_eq!(offset_of!(IoEvent, res2), 24);
assert_impl_all!(IoEvent: Send, Sync, Unpin, Copy);
