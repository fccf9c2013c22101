//! The completion ring: memory of a context that the kernel shares with the process.

#![allow(unsafe_code, reason = "reads memory that the kernel writes to")]

use aio_abi::IoEvent;
#[cfg(not(loom))]
use aio_abi::{RING_COMPAT_FEATURES, RingHeader};

use crate::sync::{
    UnsafeCell,
    atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// A context's completion ring. The kernel appends events at the tail, and the reader takes them at
/// the head.
///
/// There is one reader at a time, and a call of `io_getevents` counts as one. The kernel stores an
/// event, then the tail. The reader loads the tail (Acquire), reads the events before it, then
/// stores the head (Release). That gives their entries back to the kernel.
#[derive(Debug)]
pub struct Ring {
    head: *const AtomicU32,
    tail: *const AtomicU32,
    events: *const UnsafeCell<IoEvent>,
    /// The number of entries.
    nr: u32,
}

// SAFETY: the memory is shared with the kernel, and isn't bound to a thread. It is accessed through
// atomics, and through `events`, whose callers promise that there is one reader at a time.
unsafe impl Send for Ring {}
// SAFETY: `&Ring` reads and writes the memory only through `events`, whose callers promise that
// there is one reader at a time.
unsafe impl Sync for Ring {}

impl Ring {
    /// The ring of a context, if its header says that it can be read in user space. It has to have
    /// the magic number, the known compatible features, no incompatible features, a header of
    /// the known length, and at least two entries.
    ///
    /// # Safety
    ///
    /// `header` points to a ring as the kernel lays it out (`struct aio_ring` in `fs/aio.c`). The
    /// ring stays mapped while the result is used.
    #[cfg(not(loom))]
    pub unsafe fn of_header(header: *const RingHeader) -> Option<Self> {
        // SAFETY: the caller promises that the header is mapped. The kernel may change head and
        // tail meanwhile, so the read is volatile, and their values aren't used.
        let seen = unsafe { header.read_volatile() };
        if !seen.is_readable() || seen.compat_features & RING_COMPAT_FEATURES == 0 {
            return None;
        }
        // One entry always stays free, so a ring of one entry holds no event. `take_only` relies on
        // there being more.
        if seen.nr < 2 {
            return None;
        }
        Some(Self {
            head: header.cast::<AtomicU32>().wrapping_add(2),
            tail: header.cast::<AtomicU32>().wrapping_add(3),
            events: header.wrapping_byte_add(seen.header_length as usize).cast(),
            nr: seen.nr,
        })
    }

    /// The header, from which a program that calls a kernel itself finds head, tail and events. The
    /// pointer is valid as long as the ring is.
    #[cfg(not(loom))]
    pub fn header(&self) -> *const RingHeader {
        self.head.wrapping_sub(2).cast()
    }

    /// The ring of a model's kernel.
    ///
    /// # Safety
    ///
    /// The pointers stay valid while the result is used. `events` points to `nr` entries.
    #[cfg(all(loom, test))]
    pub(crate) unsafe fn of_model(
        head: *const AtomicU32,
        tail: *const AtomicU32,
        events: *const UnsafeCell<IoEvent>,
        nr: u32,
    ) -> Self {
        Self {
            head,
            tail,
            events,
            nr,
        }
    }

    /// Takes the event in the ring if there is exactly one, and if `take` accepts its `data` and
    /// `res`. Returns whether it was taken. Costs less than [`events`](Self::events).
    ///
    /// # Safety
    ///
    /// The context lives and nobody else reads the ring during the call. A call of `io_getevents`
    /// would be another reader.
    #[inline(always)]
    pub(crate) unsafe fn take_only(&self, take: impl FnOnce(u64, i64) -> bool) -> bool {
        // SAFETY: making a `Ring` requires that it stays mapped, and the caller promises that the
        // context lives.
        let head = unsafe { &*self.head };
        // SAFETY: making a `Ring` requires that it stays mapped, and the caller promises that the
        // context lives.
        let tail = unsafe { &*self.tail };
        // See `events` for the orderings, and for numbers that are too large.
        let place = self.place(head.load(Relaxed));
        let after = if place + 1 == self.nr { 0 } else { place + 1 };
        if self.place(tail.load(Acquire)) != after {
            return false;
        }
        // SAFETY: `place` is below nr, so this is one of the ring's entries, which stay mapped: the
        // caller promises that the context lives.
        let cell = unsafe { &*self.events.wrapping_add(place as usize) };
        let (data, res) = cell.with(|event| {
            // SAFETY: the kernel wrote the event before the tail that was loaded. It writes to the
            // entry again only after the head was stored behind it, which is below.
            let event = unsafe { &*event };
            (event.data, event.res)
        });
        let taken = take(data, res);
        if taken {
            head.store(after, Release);
        }
        taken
    }

    /// The events in the ring, up to `max`. [`Events::release`] gives the entries of those that
    /// were read back to the kernel.
    ///
    /// # Safety
    ///
    /// While the result is used, the context lives and nobody else reads the ring. A call of
    /// `io_getevents` would be another reader.
    #[inline]
    pub(crate) unsafe fn events(&self, max: usize) -> Events<'_> {
        // SAFETY: making a `Ring` requires that it stays mapped, and the caller promises that the
        // context lives.
        let head = unsafe { &*self.head };
        // SAFETY: making a `Ring` requires that it stays mapped, and the caller promises that the
        // context lives.
        let tail = unsafe { &*self.tail };
        // Relaxed is enough for the head. Only readers write it, and an earlier reader happens
        // before this one: the leader's role is taken with Acquire and left with Release, or handed
        // on through a lock. Other code may write nonsense to the ring, so both are taken modulo
        // nr, as in the kernel.
        let place = self.place(head.load(Relaxed));
        let tail = self.place(tail.load(Acquire));
        let to_end = self.nr - place;
        let there = if place <= tail {
            tail - place
        } else {
            to_end + tail
        };
        let total = (there as usize).min(max);
        let run = total.min(to_end as usize);
        let start = self.events.wrapping_add(place as usize);
        Events {
            ring: self,
            start,
            next: start,
            run_end: start.wrapping_add(run),
            rest: total - run,
            total,
        }
    }

    /// The index of the entry that a number stands for. Numbers are normally below `nr`; these need
    /// no division.
    #[inline]
    fn place(&self, n: u32) -> u32 {
        if n < self.nr { n } else { n % self.nr }
    }
}

/// Events in the ring: see [`Ring::events`].
///
/// They are in one or two runs of entries: up to the ring's end, and from its start.
pub(crate) struct Events<'a> {
    ring: &'a Ring,
    /// The first entry.
    start: *const UnsafeCell<IoEvent>,
    /// The next entry, if there is one in this run.
    next: *const UnsafeCell<IoEvent>,
    /// The end of this run.
    run_end: *const UnsafeCell<IoEvent>,
    /// How many entries the second run has, during the first one.
    rest: usize,
    total: usize,
}

impl Events<'_> {
    /// How many events there were at the start.
    #[inline]
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Gives the entries that were read back to the kernel.
    #[inline]
    pub(crate) fn release(self) {
        if self.next != self.start {
            // SAFETY: the ring stays mapped while the context lives, which the caller of `events`
            // promised for as long as this is used.
            let head = unsafe { &*self.ring.head };
            let bytes = self.next.addr() - self.ring.events.addr();
            let place = (bytes / size_of::<UnsafeCell<IoEvent>>()) as u32;
            let place = if place == self.ring.nr { 0 } else { place };
            head.store(place, Release);
        }
    }

    /// Begins the second run. Returns false if there is none.
    #[cold]
    fn next_run(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if rest > 0 {
            self.next = self.ring.events;
            self.run_end = self.next.wrapping_add(rest);
        }
        rest > 0
    }
}

impl Iterator for Events<'_> {
    /// An event's `data` and `res`.
    type Item = (u64, i64);

    #[inline(always)]
    fn next(&mut self) -> Option<(u64, i64)> {
        if self.next == self.run_end && !self.next_run() {
            return None;
        }
        // SAFETY: `next` is one of the ring's entries, which stay mapped while this is used: the
        // caller of `events` promised that the context lives.
        let cell = unsafe { &*self.next };
        let event = cell.with(|event| {
            // SAFETY: the kernel wrote the event before the tail that was loaded. It writes to the
            // entry again only after the head was stored behind it, which `release` does.
            let event = unsafe { &*event };
            (event.data, event.res)
        });
        self.next = self.next.wrapping_add(1);
        Some(event)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NR: usize = 5;

    /// A ring with its entries, as the kernel lays it out.
    #[repr(C)]
    struct Memory {
        header: RingHeader,
        events: [IoEvent; NR],
    }

    fn memory(head: u32, tail: u32) -> Memory {
        Memory {
            header: RingHeader {
                nr: NR as u32,
                head,
                tail,
                magic: aio_abi::RING_MAGIC,
                compat_features: RING_COMPAT_FEATURES,
                header_length: size_of::<RingHeader>() as u32,
                ..RingHeader::default()
            },
            events: std::array::from_fn(|n| IoEvent {
                data: n as u64,
                ..IoEvent::default()
            }),
        }
    }

    fn take(memory: &mut Memory, max: usize) -> (Vec<u64>, u32) {
        let start = std::ptr::from_mut(memory);
        // SAFETY: the header is at the start of the memory, which outlives the ring.
        let ring = unsafe { Ring::of_header(start.cast()) }.unwrap();
        // SAFETY: the memory outlives the events, and nobody else knows of the ring.
        let mut events = unsafe { ring.events(max) };
        let seen: Vec<_> = events.by_ref().map(|(data, _)| data).collect();
        assert_eq!(events.total(), seen.len());
        events.release();
        (seen, memory.header.head)
    }

    #[test]
    fn events_are_taken_in_order_and_around_the_end() {
        assert_eq!(take(&mut memory(2, 2), 9), (vec![], 2));
        assert_eq!(take(&mut memory(1, 4), 9), (vec![1, 2, 3], 4));
        assert_eq!(take(&mut memory(3, 1), 9), (vec![3, 4, 0], 1));
        assert_eq!(take(&mut memory(3, 1), 1), (vec![3], 4));
        assert_eq!(take(&mut memory(4, 1), 1), (vec![4], 0));
    }

    #[test]
    fn the_header_is_that_of_the_ring() {
        let mut memory = memory(1, 4);
        let start = std::ptr::from_mut(&mut memory).cast();
        // SAFETY: the header is at the start of the memory, which outlives the ring.
        let ring = unsafe { Ring::of_header(start) }.unwrap();
        assert_eq!(ring.header(), start);
    }

    #[test]
    fn indices_are_taken_modulo_the_size_as_the_kernel_does() {
        assert_eq!(take(&mut memory(5 + 1, 5 * 7 + 3), 9), (vec![1, 2], 3));
    }

    /// Whether the only event was taken, the events that were looked at, and the head afterwards.
    fn take_only(head: u32, tail: u32, accept: bool) -> (bool, Vec<u64>, u32) {
        let mut memory = memory(head, tail);
        let start = std::ptr::from_mut(&mut memory);
        // SAFETY: the header is at the start of the memory, which outlives the ring.
        let ring = unsafe { Ring::of_header(start.cast()) }.unwrap();
        let mut seen = Vec::new();
        let take = |data, _| {
            seen.push(data);
            accept
        };
        // SAFETY: the memory lives, and nobody else knows of the ring.
        let taken = unsafe { ring.take_only(take) };
        (taken, seen, memory.header.head)
    }

    #[test]
    fn the_only_event_is_taken_if_it_is_accepted() {
        for accept in [true, false] {
            let after = |place: u32, next: u32| if accept { next } else { place };
            assert_eq!(take_only(0, 1, accept), (accept, vec![0], after(0, 1)));
            assert_eq!(take_only(3, 4, accept), (accept, vec![3], after(3, 4)));
            // At the ring's end.
            assert_eq!(take_only(4, 0, accept), (accept, vec![4], after(4, 0)));
            // Modulo the size, as the kernel does.
            let (head, tail) = (5 * 3 + 4, 5 * 7);
            assert_eq!(
                take_only(head, tail, accept),
                (accept, vec![4], after(head, 0))
            );
            // No event, although the numbers differ.
            let (head, tail) = (5 * 3 + 4, 5 * 7 + 4);
            assert_eq!(take_only(head, tail, accept), (false, vec![], head));
        }
    }

    #[test]
    fn several_events_or_none_are_not_the_only_one() {
        for head in 0..5 {
            for events in [0, 2, 3, 4] {
                let tail = (head + events) % 5;
                assert_eq!(take_only(head, tail, true), (false, vec![], head));
            }
        }
    }

    #[test]
    fn a_ring_of_another_kind_is_not_read() {
        let spoil: [fn(&mut RingHeader); 6] = [
            |header| header.magic += 1,
            |header| header.incompat_features = 1,
            |header| header.compat_features = 0,
            |header| header.header_length = 16,
            |header| header.nr = 0,
            |header| header.nr = 1,
        ];
        for (n, spoil) in spoil.into_iter().enumerate() {
            let mut memory = memory(0, 0);
            spoil(&mut memory.header);
            // SAFETY: the header outlives the ring, of which no events are read.
            let ring = unsafe { Ring::of_header(&raw const memory.header) };
            assert!(ring.is_none(), "spoilt {n}");
        }
    }
}
