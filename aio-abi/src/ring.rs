//! The completion ring: memory that the process shares with the kernel.

use core::mem::offset_of;
use static_assertions::{assert_eq_align, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::IoEvent;

/// The first page of the completion ring begins with this; the events follow.
///
/// A context's handle ([`AioContext`](crate::AioContext)) is the ring's address. In the kernel's source only (`struct
/// aio_ring` in `fs/aio.c`), but programs have read it since 2.6, so it stays as it is.
#[doc(alias = "aio_ring")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RingHeader {
    /// The kernel's index of the context in the process.
    pub id: u32,
    /// How many slots the ring has. One stays empty.
    pub nr: u32,
    /// The slot that is read next. The reader's to move.
    pub head: u32,
    /// The slot that is written next. The kernel's to move.
    pub tail: u32,
    /// [`RING_MAGIC`].
    pub magic: u32,
    /// [`RING_COMPAT_FEATURES`]: a bit here that is unknown changes nothing for a reader.
    pub compat_features: u32,
    /// [`RING_INCOMPAT_FEATURES`]: a bit here that is unknown forbids reading the ring.
    pub incompat_features: u32,
    /// Where the events begin, in bytes from the ring's start.
    pub header_length: u32,
}

/// What [`RingHeader::magic`] is.
#[doc(alias = "AIO_RING_MAGIC")]
pub const RING_MAGIC: u32 = 0xa10a_10a1;
/// What [`RingHeader::compat_features`] is on every kernel so far.
#[doc(alias = "AIO_RING_COMPAT_FEATURES")]
pub const RING_COMPAT_FEATURES: u32 = 1;
/// What [`RingHeader::incompat_features`] is on every kernel so far.
#[doc(alias = "AIO_RING_INCOMPAT_FEATURES")]
pub const RING_INCOMPAT_FEATURES: u32 = 0;

const_assert_eq!(size_of::<RingHeader>(), 32);
assert_eq_align!(RingHeader, u32);
const_assert_eq!(offset_of!(RingHeader, id), 0);
const_assert_eq!(offset_of!(RingHeader, nr), 4);
const_assert_eq!(offset_of!(RingHeader, head), 8);
const_assert_eq!(offset_of!(RingHeader, tail), 12);
const_assert_eq!(offset_of!(RingHeader, magic), 16);
const_assert_eq!(offset_of!(RingHeader, compat_features), 20);
const_assert_eq!(offset_of!(RingHeader, incompat_features), 24);
const_assert_eq!(offset_of!(RingHeader, header_length), 28);
assert_impl_all!(RingHeader: Send, Sync, Unpin, Copy);

impl RingHeader {
    /// True if the events can be read from userspace by what this crate knows: the magic number fits, there is no
    /// unknown incompatible feature, and the events begin behind the header, aligned.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.magic == RING_MAGIC
            && self.incompat_features == RING_INCOMPAT_FEATURES
            && self.header_length as usize >= size_of::<Self>()
            && self.header_length as usize % align_of::<IoEvent>() == 0
            && self.nr != 0
    }
}
