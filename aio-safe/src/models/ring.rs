//! The completion ring: its reader against a kernel that fills it.

use std::{mem::MaybeUninit, sync::Arc};

use aio_abi::IoEvent;
use loom::{sync::Mutex, thread};

use super::{Bound, Machine, check, file};
use crate::{
    Op,
    kernel::Ring,
    sync::{
        UnsafeCell,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// A ring's memory, and the kernel's side of it.
pub(super) struct RingMemory {
    head: AtomicU32,
    tail: AtomicU32,
    events: Box<[UnsafeCell<IoEvent>]>,
    /// The kernel's `completion_lock`.
    completion: Mutex<()>,
}

// SAFETY: loom checks every use of the events, and fails the model on a race.
unsafe impl Send for RingMemory {}
// SAFETY: `&` gives only atomics and cells, which loom checks.
unsafe impl Sync for RingMemory {}

impl RingMemory {
    pub(super) fn new(nr: u32) -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            events: (0..nr)
                .map(|_| UnsafeCell::new(IoEvent::default()))
                .collect(),
            completion: Mutex::new(()),
        }
    }

    /// # Safety
    ///
    /// The memory outlives the ring.
    pub(super) unsafe fn ring(&self) -> Ring {
        // SAFETY: the pointers are to this memory, which outlives the ring, as the caller says.
        unsafe {
            Ring::of_model(
                &raw const self.head,
                &raw const self.tail,
                self.events.as_ptr(),
                self.nr(),
            )
        }
    }

    fn nr(&self) -> u32 {
        self.events.len() as u32
    }

    /// Appends an event, as `aio_complete` does. False when the ring is full, which the real kernel
    /// prevents by refusing requests.
    fn try_post(&self, event: IoEvent) -> bool {
        let _guard = self.completion.lock().unwrap();
        let tail = self.tail.load(Relaxed);
        let next = (tail + 1) % self.nr();
        // The reader is done with an event when its entry is used again.
        if self.head.load(Acquire) == next {
            return false;
        }
        self.events[tail as usize].with_mut(|entry| {
            // SAFETY: loom fails the model if another thread reads the entry at the same time.
            unsafe { entry.write(event) };
        });
        self.tail.store(next, Release);
        true
    }

    pub(super) fn post(&self, event: IoEvent) {
        assert!(self.try_post(event), "the model's ring is too small");
    }

    /// Appends this many events, which are numbered. Waits while the ring is full.
    pub(super) fn post_numbers(&self, events: u64) {
        for data in 0..events {
            let event = IoEvent {
                data,
                ..IoEvent::default()
            };
            while !self.try_post(event) {
                thread::yield_now();
            }
        }
    }

    /// Where the reader is. Only the reader may ask.
    pub(super) fn head(&self) -> u32 {
        self.head.load(Relaxed)
    }

    /// How many events there are for a reader at `head`, when `posted` were ever posted.
    pub(super) fn len(&self, head: u32, posted: usize) -> usize {
        let nr = self.nr() as usize;
        (posted % nr + nr - head as usize) % nr
    }

    /// Takes events as `io_getevents` does.
    pub(super) fn take(&self, events: &mut [MaybeUninit<IoEvent>]) -> usize {
        let mut head = self.head();
        // Reads the newest value, as the kernel does under its lock.
        let tail = self.tail.fetch_add(0, Acquire);
        let mut n = 0;
        while head != tail && n < events.len() {
            self.events[head as usize].with(|event| {
                // SAFETY: loom fails the model if another thread writes to the entry at the same
                // time.
                events[n].write(unsafe { event.read() });
            });
            head = (head + 1) % self.nr();
            n += 1;
        }
        self.head.store(head, Release);
        n
    }
}

/// One thread posts, another one takes, around the end of the ring.
#[test]
fn reader_against_producer() {
    const EVENTS: u64 = 4;
    let bound = Bound::Preemptions(2, "13,000 executions, several times as many with 3");
    check(bound, &["one", "two"], |seen| {
        let memory = Arc::new(RingMemory::new(3));
        let producer = thread::spawn({
            let memory = Arc::clone(&memory);
            move || memory.post_numbers(EVENTS)
        });
        // SAFETY: the memory lives to the end of the model.
        let ring = unsafe { memory.ring() };
        let mut next = 0;
        while next < EVENTS {
            // SAFETY: this is the only reader.
            let mut events = unsafe { ring.events(2) };
            for event in events.by_ref() {
                assert_eq!(event, (next, 0));
                next += 1;
            }
            let n = events.total();
            events.release();
            match n {
                0 => thread::yield_now(),
                1 => seen.note("one"),
                _ => seen.note("two"),
            }
        }
        producer.join().unwrap();
    });
}

/// Two threads read the ring in turn, each while it leads.
#[test]
fn reader_after_reader() {
    let bound = Bound::Preemptions(2, "4,300 executions, 52,000 with 3");
    check(bound, &[], |_| {
        let machine = Machine::with_ring(4);
        let queue = machine.queue(2);
        let other = thread::spawn({
            let (queue, buffer) = (queue.clone(), machine.buffer());
            move || {
                let read = queue.submit(file(), Op::read(buffer, 7)).unwrap();
                assert_eq!(read.wait().into_result().unwrap().1.byte(), 7);
            }
        });
        let read = queue.submit(file(), Op::read(machine.buffer(), 8)).unwrap();
        assert_eq!(read.wait().into_result().unwrap().1.byte(), 8);
        other.join().unwrap();
        drop(queue);
        machine.assert_over();
    });
}

/// A thread that waits in `io_getevents` while others use the ring.
#[test]
fn sleeping_reader() {
    let bound = Bound::None;
    check(bound, &[], |_| {
        let machine = Machine::with_ring(4);
        let queue = machine.queue(1);
        let reaper = thread::spawn({
            let queue = queue.clone();
            move || {
                assert_eq!(queue.reap(1, None).unwrap(), 1);
            }
        });
        let read = queue.submit(file(), Op::read(machine.buffer(), 7)).unwrap();
        reaper.join().unwrap();
        let read = read.try_take().unwrap();
        assert_eq!(read.into_result().unwrap().1.byte(), 7);
        drop(queue);
        machine.assert_over();
    });
}
