//! The completion event of a request.

use core::mem::offset_of;
use static_assertions::{assert_eq_align, assert_eq_size, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The completion event of a request: one entry of the completion ring.
///
/// Reading an event from bytes is safe, because all bit patterns are valid:
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
/// `data` and `obj` are plain numbers. Don't use them as pointers without a check of your own: if
/// the ring's head index is wrong, `io_getevents` returns old events again.
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
    /// The result of the operation: the number of bytes (for a poll, the set of events that are
    /// ready), or a negative errno.
    ///
    /// The kernel's header declares it as signed. libaio's header declares it as unsigned.
    pub res: i64,
    /// Always 0, except for USB gadgets: before Linux 5.16 it holds a second status there.
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
