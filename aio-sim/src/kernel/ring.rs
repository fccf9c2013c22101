//! The completion ring of a context: the kernel's side of it.

use std::sync::{
    Arc,
    atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use aio_safe::kernel::{IoEvent, RING_COMPAT_FEATURES, RING_MAGIC, RingHeader};

/// The words of the header, as [`RingHeader`] has them.
const ID: usize = 0;
const NR: usize = 1;
const HEAD: usize = 2;
const TAIL: usize = 3;
const MAGIC: usize = 4;
const COMPAT: usize = 5;
const HEADER_LENGTH: usize = 7;

/// The header, or an event: both have 32 bytes.
#[repr(C, align(32))]
#[derive(Default)]
struct Line([AtomicU32; 8]);

const _: () = assert!(size_of::<Line>() == size_of::<RingHeader>());
const _: () = assert!(size_of::<Line>() == size_of::<IoEvent>());

/// Memory laid out as the kernel's `struct aio_ring` (`fs/aio.c`). It is all atomics, because the
/// queue reads it while this side writes.
pub(crate) struct RingMemory {
    /// Not a box: moving one would end the reader's right to the memory.
    lines: Arc<[Line]>,
    nr: u32,
}

impl RingMemory {
    /// A ring of `nr` entries, of the context with this number.
    pub(crate) fn new(id: u32, nr: u32) -> Self {
        let lines: Arc<[Line]> = (0..=nr).map(|_| Line::default()).collect();
        let header = &lines[0].0;
        header[ID].store(id, Relaxed);
        header[NR].store(nr, Relaxed);
        header[MAGIC].store(RING_MAGIC, Relaxed);
        header[COMPAT].store(RING_COMPAT_FEATURES, Relaxed);
        header[HEADER_LENGTH].store(size_of::<RingHeader>() as u32, Relaxed);
        Self { lines, nr }
    }

    /// The header, for the reader in the queue.
    pub(crate) fn header(&self) -> *const RingHeader {
        self.lines.as_ptr().cast()
    }

    /// What names the context.
    pub(crate) fn addr(&self) -> usize {
        self.header().expose_provenance()
    }

    /// Head and tail, taken modulo the number of entries as the kernel takes them.
    fn ends(&self) -> (u32, u32) {
        let header = &self.lines[0].0;
        let head = header[HEAD].load(Acquire) % self.nr;
        let tail = header[TAIL].load(Acquire) % self.nr;
        (head, tail)
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> u32 {
        let (head, tail) = self.ends();
        (self.nr + tail - head) % self.nr
    }

    /// Stores an event, then the tail. There is room: each request has a slot until its event was
    /// taken.
    pub(crate) fn push(&self, event: IoEvent) {
        let (_, tail) = self.ends();
        let words: [u32; 8] = zerocopy::transmute!(event);
        let line = &self.lines[1 + tail as usize].0;
        for (place, word) in line.iter().zip(words) {
            place.store(word, Relaxed);
        }
        self.lines[0].0[TAIL].store((tail + 1) % self.nr, Release);
    }

    /// Takes the first event.
    pub(crate) fn pop(&self) -> Option<IoEvent> {
        let (head, tail) = self.ends();
        if head == tail {
            return None;
        }
        let line = &self.lines[1 + head as usize].0;
        let words: [u32; 8] = std::array::from_fn(|n| line[n].load(Relaxed));
        self.lines[0].0[HEAD].store((head + 1) % self.nr, Release);
        Some(zerocopy::transmute!(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_in_their_order_and_round_the_end() {
        let ring = RingMemory::new(0, 4);
        for round in 0..9_u64 {
            for n in 0..3 {
                ring.push(IoEvent {
                    data: round << 40 | n,
                    obj: !n,
                    res: -5,
                    res2: 0,
                });
            }
            assert_eq!(ring.len(), 3);
            for n in 0..3 {
                let event = ring.pop().unwrap();
                assert_eq!((event.data, event.obj), (round << 40 | n, !n));
                assert_eq!((event.res, event.res2), (-5, 0));
            }
            assert!(ring.pop().is_none());
        }
    }
}
