//! The completion ring: memory that the process shares with the kernel.

use core::mem::offset_of;

use static_assertions::{assert_eq_align, assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::IoEvent;

/// The header of the completion ring. [`nr`](Self::nr) events follow it, at offset
/// [`header_length`](Self::header_length).
///
/// A context's handle ([`AioContext`](crate::AioContext)) is the ring's address, so a program can
/// read events without a system call. No header defines the ring, only the kernel's source
/// (`struct aio_ring` in `fs/aio.c`). Programs have read it since Linux 2.6, so its layout is
/// stable.
///
/// # Reading the ring in use
///
/// The kernel writes to the ring at any time. So no reference to the ring may exist, and both
/// indices must be accessed as atomics (`AtomicU32::from_ptr` of `&raw mut (*ring).tail`).
///
/// A program takes an event in these steps. Only one thread may do this at a time, and no thread
/// may be in `io_getevents` at that time, because that call reads the ring too.
///
/// 1. Check [`is_readable`](Self::is_readable). Once is enough: `nr` and `header_length` don't
///    change.
/// 2. Load `tail` with acquire ordering. There is an event if `tail` differs from `head`.
/// 3. Copy the event at the [`slot_offset`](Self::slot_offset) of `head`.
/// 4. Store the [`slot_after`](Self::slot_after) `head` to `head` with release ordering. This store
///    frees the slot. The kernel notices it when a request completes or when no slot is left.
///
/// The kernel takes both indices modulo `nr`. If an index is wrong, `io_getevents` returns old
/// events again. So a program should check that an event's `data` belongs to a request in flight.
///
/// After `fork`, up to Linux 7.0, the child sees its parent's ring and must not store to it. From
/// Linux 7.1 on the ring isn't mapped in the child.
///
/// # Examples
///
/// Reading a copy of a ring's bytes, for example from a core dump:
///
/// ```
/// use aio_abi::{IoEvent, RING_MAGIC, RingHeader};
/// use zerocopy::{FromBytes, IntoBytes};
///
/// # let header = RingHeader { nr: 2, tail: 1, magic: RING_MAGIC, ..Default::default() };
/// # let header = RingHeader { header_length: 32, ..header };
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
    /// The number of slots. One slot always stays empty.
    pub nr: u32,
    /// The slot to read next. The reader advances it.
    pub head: u32,
    /// The slot to write next. The kernel advances it.
    pub tail: u32,
    /// [`RING_MAGIC`].
    pub magic: u32,
    /// [`RING_COMPAT_FEATURES`]. A reader can ignore unknown bits.
    pub compat_features: u32,
    /// [`RING_INCOMPAT_FEATURES`]. A program must not read the ring if there are unknown bits.
    pub incompat_features: u32,
    /// The offset of the first event, in bytes from the start of the ring.
    pub header_length: u32,
}

/// The value of [`RingHeader::magic`].
#[doc(alias = "AIO_RING_MAGIC")]
pub const RING_MAGIC: u32 = 0xa10a_10a1;
/// The value of [`RingHeader::compat_features`] on every kernel up to 7.2.
#[doc(alias = "AIO_RING_COMPAT_FEATURES")]
pub const RING_COMPAT_FEATURES: u32 = 1;
/// The value of [`RingHeader::incompat_features`] on every kernel up to 7.2.
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
    /// True if a program can read the events in the way that this crate describes.
    ///
    /// That is so if the magic number is right, no incompatible feature is unknown, the ring has
    /// slots, and the events begin after the header at an aligned offset.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.magic == RING_MAGIC
            && self.incompat_features == RING_INCOMPAT_FEATURES
            && self.nr != 0
            && self.header_length as usize >= size_of::<Self>()
            && self.header_length as usize % size_of::<u64>() == 0
    }

    /// The offset of a slot, in bytes from the start of the ring. `None` if the ring has no such
    /// slot.
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
        // Not a remainder: that would be a division for every event.
        if slot < self.nr.saturating_sub(1) {
            slot + 1
        } else {
            0
        }
    }

    /// The number of events from `head` up to `tail`.
    ///
    /// Both fields can hold any number, because any code of the process can store to them. This
    /// function takes them modulo [`nr`](Self::nr), as the kernel does, so the result is always
    /// less than `nr`. A ring without slots has no events.
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

    /// Reads the event of a slot from a copy of the ring's bytes. `None` if the ring has no such
    /// slot, or if the bytes end before the end of the slot.
    ///
    /// `ring` holds the whole ring, including the header. It can have any alignment.
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
