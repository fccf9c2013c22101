//! The memory of a completion ring, and the side of it that posts events.

#![allow(unsafe_code, reason = "shares memory with the ring's reader")]

use aio_abi::IoEvent;

use super::memory::Memory;
use crate::{
    kernel::Ring,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

/// A completion ring of this process's own, laid out as the kernel lays out its own.
///
/// There is one poster at a time, and one reader. The poster stores an event, then the tail
/// (Release). The reader loads the tail (Acquire), and stores the head (Release) when it is done
/// with the entries before it. The poster loads the head (Acquire) before it uses an entry again.
pub(crate) struct RingMemory(Memory);

impl RingMemory {
    /// A ring with room for `events`. `None` if there isn't enough memory.
    pub(super) fn with_room_for(events: u32) -> Option<Self> {
        // One entry always stays free.
        let nr = events.checked_add(1)?.max(2);
        Memory::new(nr).map(Self)
    }

    /// The ring's address, which names the context.
    pub(super) fn addr(&self) -> usize {
        self.0.addr()
    }

    /// The reader's side.
    ///
    /// # Safety
    ///
    /// The memory outlives the result.
    pub(crate) unsafe fn reader(&self) -> Option<Ring> {
        // SAFETY: the caller keeps the memory.
        unsafe { self.0.reader() }
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> u32 {
        // ORDERING: Acquire, not Relaxed: because an entry is written again when its reader has
        // stored a head behind it. No model fills a ring twice.
        let head = self.place(self.0.head().load(Acquire));
        // Whoever takes an event loads the tail again.
        let tail = self.place(self.0.tail().load(Relaxed));
        if head <= tail {
            tail - head
        } else {
            self.0.nr() - head + tail
        }
    }

    /// Appends an event.
    ///
    /// # Safety
    ///
    /// No other thread appends an event meanwhile, and there is room for it.
    pub(super) unsafe fn push(&self, event: IoEvent) {
        let place = self.place(self.0.tail().load(Relaxed));
        self.0.events()[place as usize].with_mut(|entry| {
            // SAFETY: the entry is behind the tail, so no reader looks at it. There is room, so a
            // reader was done with it, which the poster has seen when it loaded the head.
            unsafe { entry.write(event) };
        });
        // ORDERING: Release, not Relaxed: because a queue reads the ring without the context's
        // lock, and so does a thread that doesn't wait for events. In the models all threads wait.
        self.0.tail().store(self.after(place), Release);
    }

    /// Takes the first event.
    ///
    /// # Safety
    ///
    /// No other thread takes events meanwhile.
    pub(super) unsafe fn pop(&self) -> Option<IoEvent> {
        let place = self.place(self.0.head().load(Relaxed));
        // ORDERING: Acquire, not Relaxed: because the poster's lock isn't held here.
        if place == self.place(self.0.tail().load(Acquire)) {
            return None;
        }
        let event = self.0.events()[place as usize].with(|entry| {
            // SAFETY: the event was stored before the tail that was loaded, and its entry isn't
            // used again before the head is stored behind it.
            unsafe { entry.read() }
        });
        // ORDERING: Release, not Relaxed: because an entry is written again when the head is behind
        // it. No model fills a ring twice.
        self.0.head().store(self.after(place), Release);
        Some(event)
    }

    fn after(&self, place: u32) -> u32 {
        if place + 1 == self.0.nr() {
            0
        } else {
            place + 1
        }
    }

    /// The index of the entry that a number stands for. The reader's head is taken modulo the size,
    /// as the kernel takes it: other code may write nonsense to the ring.
    fn place(&self, n: u32) -> u32 {
        n % self.0.nr()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn event(data: u64) -> IoEvent {
        IoEvent {
            data,
            ..IoEvent::default()
        }
    }

    #[test]
    fn events_come_in_their_order_and_go_round_the_end() {
        let ring = RingMemory::with_room_for(3).unwrap();
        for n in 0..20 {
            assert_eq!(ring.len(), 0);
            for k in 0..3 {
                // SAFETY: there is one thread, and room for three.
                unsafe { ring.push(event(n + k)) };
                assert_eq!(u64::from(ring.len()), k + 1);
            }
            for k in 0..3 {
                // SAFETY: there is one thread.
                let taken = unsafe { ring.pop() };
                assert_eq!(taken.map(|event| event.data), Some(n + k));
            }
            // SAFETY: there is one thread.
            assert!(unsafe { ring.pop() }.is_none());
        }
    }

    #[test]
    fn the_reader_of_queues_reads_it() {
        let ring = RingMemory::with_room_for(3).unwrap();
        // SAFETY: `ring` outlives the reader.
        let reader = unsafe { ring.reader() }.unwrap();
        // SAFETY: there is one thread, and room.
        unsafe { ring.push(event(7)) };
        // SAFETY: there is one thread, and the ring lives.
        let mut events = unsafe { reader.events(9) };
        assert_eq!(events.next(), Some((7, 0)));
        events.release();
        assert_eq!(ring.len(), 0);
    }
}
