//! The completion ring: memory that the process shares with the kernel.

use core::mem::offset_of;

use static_assertions::{assert_eq_align, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::IoEvent;

/// The first page of the completion ring begins with this; [`nr`](Self::nr) events follow, at
/// [`header_length`](Self::header_length).
///
/// A context's handle ([`AioContext`](crate::AioContext)) is the ring's address, so events can be
/// read without a system call. In the kernel's source only (`struct aio_ring` in `fs/aio.c`), but
/// programs have read it since Linux 2.6, so it stays as it is.
///
/// # Reading the ring in use
///
/// The kernel writes to it at any time: no reference to it may exist, and both indices are atomic
/// (`AtomicU32::from_ptr` of `&raw mut (*ring).tail`). One event is taken like this:
///
/// 1. Only one thread reads the ring at a time, `io_getevents` counted as a reader.
/// 2. [`is_readable`](Self::is_readable), looked at once; `nr` and `header_length` don't change.
/// 3. Load `tail` with acquire order. There is an event if it isn't equal to `head`.
/// 4. Copy the event at [`slot_offset`](Self::slot_offset) of `head`.
/// 5. Store [`slot_after`](Self::slot_after) of `head` to `head` with release order. That is what
///    frees the slot; the kernel notices when a request ends, or when no slot is left.
///
/// The kernel takes both indices modulo `nr`. One that is wrong makes `io_getevents` hand out old
/// events again, so an event's `data` is no proof of anything.
///
/// After `fork`, a child sees its parent's ring up to Linux 7.0, and must not store to it; from 7.1
/// on the address isn't mapped there.
///
/// # Examples
///
/// A copy of a ring's bytes, from a core dump for instance:
///
/// ```
/// use aio_abi::{IoEvent, RING_MAGIC, RingHeader};
/// use zerocopy::{FromBytes, IntoBytes};
///
/// # let header = RingHeader { nr: 2, tail: 1, magic: RING_MAGIC, header_length: 32, ..Default::default() };
/// # let mut bytes = header.as_bytes().to_vec();
/// # bytes.extend([IoEvent { data: 7, res: 512, ..Default::default() }; 2].as_bytes());
/// let (header, _) = RingHeader::read_from_prefix(&bytes).expect("too short for a ring");
/// assert!(header.is_readable());
/// let mut slot = header.head;
/// for _ in 0..header.unread() {
///     let event = header.event(&bytes, slot).expect("cut off");
///     println!("request {} ended with {}", event.data, event.res);
///     slot = header.slot_after(slot);
/// }
/// # assert_eq!(slot, 1);
/// ```
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
    /// True if the events can be read from userspace by what this crate knows: the magic number is
    /// right, there is no unknown incompatible feature, there are slots, and the events begin
    /// behind the header, aligned.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.magic == RING_MAGIC
            && self.incompat_features == RING_INCOMPAT_FEATURES
            && self.nr != 0
            && self.header_length as usize >= size_of::<Self>()
            && self.header_length as usize % size_of::<u64>() == 0
    }

    /// Where a slot is, in bytes from the ring's start; `None` if the ring has no such slot.
    #[must_use]
    pub const fn slot_offset(&self, slot: u32) -> Option<usize> {
        if slot >= self.nr {
            return None;
        }
        match (slot as usize).checked_mul(size_of::<IoEvent>()) {
            Some(offset) => offset.checked_add(self.header_length as usize),
            None => None,
        }
    }

    /// The slot after this one.
    #[must_use]
    pub const fn slot_after(&self, slot: u32) -> u32 {
        // Not by remainder: that would divide, on the path of every event.
        if slot < self.nr.saturating_sub(1) {
            slot + 1
        } else {
            0
        }
    }

    /// How many events there are from `head` up to `tail`.
    ///
    /// Any numbers can be in these fields, as any code of the process can store there. Like the
    /// kernel, this takes them modulo [`nr`](Self::nr), so it never says more than the ring holds;
    /// without slots there are none.
    #[must_use]
    pub const fn unread(&self) -> u32 {
        if self.nr == 0 {
            return 0;
        }
        let (head, tail) = (self.head % self.nr, self.tail % self.nr);
        if head <= tail {
            tail - head
        } else {
            self.nr - head + tail
        }
    }

    /// Copies the event in a slot out of a copy of the ring's bytes; `None` if the ring has no such
    /// slot, or the bytes end before it.
    ///
    /// The bytes can have any alignment. They are those of the whole ring, header and all.
    #[must_use]
    pub fn event(&self, ring: &[u8], slot: u32) -> Option<IoEvent> {
        let bytes = ring.get(self.slot_offset(slot)?..)?;
        Some(IoEvent::read_from_prefix(bytes).ok()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{RING_MAGIC, RingHeader};
    use crate::IoEvent;
    use std::vec::Vec;
    use zerocopy::{FromBytes, IntoBytes};

    const HEADER: RingHeader = RingHeader {
        id: 0,
        nr: 3,
        head: 2,
        tail: 1,
        magic: RING_MAGIC,
        compat_features: 1,
        incompat_features: 0,
        header_length: 32,
    };

    #[test]
    fn the_last_field_ends_the_header() {
        assert_eq!(
            memoffset::span_of!(RingHeader, header_length),
            28..size_of::<RingHeader>()
        );
    }

    #[test]
    fn what_is_unknown_is_not_readable() {
        assert!(HEADER.is_readable());
        assert!(
            RingHeader {
                compat_features: 3,
                header_length: 64,
                ..HEADER
            }
            .is_readable()
        );
        for unknown in [
            RingHeader { magic: 0, ..HEADER },
            RingHeader {
                incompat_features: 1,
                ..HEADER
            },
            RingHeader { nr: 0, ..HEADER },
            RingHeader {
                header_length: 24,
                ..HEADER
            },
            RingHeader {
                header_length: 36,
                ..HEADER
            },
        ] {
            assert!(!unknown.is_readable(), "{unknown:?}");
        }
    }

    #[test]
    fn events_are_read_around_the_end_of_an_unaligned_copy() {
        let events = [5, 6, 7].map(|data| IoEvent {
            data,
            ..IoEvent::default()
        });
        let mut bytes = Vec::from([0]);
        bytes.extend_from_slice(HEADER.as_bytes());
        bytes.extend_from_slice(events.as_bytes());
        let ring = &bytes[1..];

        let (header, _) = RingHeader::read_from_prefix(ring).unwrap();
        assert_eq!(header, HEADER);
        assert_eq!(header.unread(), 2);
        let mut slot = header.head;
        let mut read = Vec::new();
        for _ in 0..header.unread() {
            read.push(header.event(ring, slot).unwrap().data);
            slot = header.slot_after(slot);
        }
        assert_eq!(read, [7, 5]);
        assert_eq!(slot, header.tail);
    }

    #[test]
    fn no_number_leads_out_of_the_ring() {
        let bytes = [0; 32 + 3 * 32];
        assert!(HEADER.event(&bytes, 2).is_some());
        assert!(HEADER.event(&bytes, 3).is_none());
        assert!(HEADER.event(&bytes[..bytes.len() - 1], 2).is_none());
        assert!(HEADER.event(&[], 0).is_none());
        let wild = RingHeader {
            nr: u32::MAX,
            header_length: u32::MAX,
            ..HEADER
        };
        assert!(wild.event(&bytes, u32::MAX - 1).is_none());
        assert_eq!(wild.slot_after(u32::MAX), 0);
        assert_eq!(RingHeader { nr: 0, ..HEADER }.slot_after(0), 0);
    }

    proptest::proptest! {
        #[test]
        fn unread_is_the_distance_of_the_two(nr in 1_u32.., head: u32, tail: u32) {
            let header = RingHeader { nr, head, tail, ..HEADER };
            let unread = header.unread();
            assert!(unread < nr);
            let distance = u64::from(head % nr) + u64::from(unread);
            assert_eq!(distance % u64::from(nr), u64::from(tail % nr));
        }
    }
}
