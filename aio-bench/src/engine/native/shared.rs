//! `floor` for threads that share a context: each has its own requests, and whoever takes completions hands the
//! others theirs.

#![allow(unsafe_code, reason = "makes the system calls")]

use std::{
    process, ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicI64, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use aio_sys::{
    Errno,
    abi::{IoEvent, Iocb},
    io_getevents, io_submit,
};

use super::{Calls, Floor, Ring};
use crate::engine::SetUpError;

/// A context, and what its threads share. The last of them destroys it.
pub(in crate::engine) struct OneContext {
    floor: Floor,
    reaper: Mutex<Reaper>,
    /// The kernel has answered whoever waited in it.
    answered: Condvar,
    /// One for each thread.
    inboxes: Box<[Inbox]>,
}

/// Who has it may take completions, unless somebody waits in the kernel for them.
struct Reaper {
    ring: Option<Ring>,
    /// A thread is in `io_getevents`, without the lock.
    in_kernel: bool,
    /// How many others wait for it to come back.
    waiting: u32,
}

/// What was completed of one thread's requests and not taken by it: put there by whoever has the reaper.
// Threads aren't to write to each other's lines more than they have to.
#[repr(align(128))]
struct Inbox {
    /// How many were ever put there.
    count: AtomicUsize,
    /// As many as the thread has in flight, or more: a power of two.
    entries: Box<[Entry]>,
}

/// Part of an event.
#[derive(Default)]
struct Entry {
    data: AtomicU64,
    result: AtomicI64,
}

impl Inbox {
    fn new(depth: usize) -> Self {
        let entries = (0..depth.next_power_of_two()).map(|_| Entry::default());
        Self {
            count: AtomicUsize::new(0),
            entries: entries.collect(),
        }
    }

    #[inline]
    fn entry(&self, number: usize) -> &Entry {
        &self.entries[number & (self.entries.len() - 1)]
    }

    /// For one thread at a time, who has the reaper.
    #[inline]
    fn put(&self, data: u64, result: i64) {
        let count = self.count.load(Relaxed);
        // Taken before: there are no more than are in flight.
        let entry = self.entry(count);
        entry.data.store(data, Relaxed);
        entry.result.store(result, Relaxed);
        // Who sees the count sees the entry.
        self.count.store(count.wrapping_add(1), Release);
    }
}

impl OneContext {
    pub(in crate::engine) fn set_up(threads: usize, depth: usize) -> Result<Self, SetUpError> {
        let floor = Floor::set_up(threads * depth)?;
        let reaper = Reaper {
            ring: floor.ring(),
            in_kernel: false,
            waiting: 0,
        };
        Ok(Self {
            floor,
            reaper: Mutex::new(reaper),
            answered: Condvar::new(),
            inboxes: (0..threads).map(|_| Inbox::new(depth)).collect(),
        })
    }

    #[inline]
    fn reaper(&self) -> MutexGuard<'_, Reaper> {
        // A panic leaves nothing half done in there.
        self.reaper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn deliver(&self, data: u64, result: i64) {
        let thread = (data >> 32) as usize;
        self.inboxes[thread].put(data & u64::from(u32::MAX), result);
    }

    /// Takes the completions that are in the ring. Nobody is in `io_getevents`.
    #[inline]
    fn read_ring(&self, reaper: &Reaper) {
        let Some(ring) = &reaper.ring else { return };
        let (mut head, tail) = ring.bounds();
        if head == tail {
            return;
        }
        while head != tail {
            // SAFETY: the place lies within the bounds, and nobody else takes events: we have the reaper.
            let (data, result) = unsafe { ring.event(head) };
            self.deliver(data, result);
            head = ring.after(head);
        }
        ring.release(head);
    }

    /// Takes completions until `enough` says so of what was delivered. There has to be one in flight that makes it
    /// do so. `room` is for the events of a call.
    fn reap(&self, room: &mut [IoEvent], enough: impl Fn() -> bool) -> Result<(), Errno> {
        let mut reaper = self.reaper();
        loop {
            if !reaper.in_kernel {
                self.read_ring(&reaper);
            }
            if enough() {
                return Ok(());
            }
            if reaper.in_kernel {
                reaper.waiting += 1;
                reaper = self
                    .answered
                    .wait(reaper)
                    .unwrap_or_else(PoisonError::into_inner);
                reaper.waiting -= 1;
                continue;
            }
            // The others are to get to their inboxes meanwhile.
            reaper.in_kernel = true;
            drop(reaper);
            let context = self.floor.context();
            let nr = room.len() as isize;
            // SAFETY: there is room for so many events. A null timeout waits without end.
            let answer = unsafe { io_getevents(context, 1, nr, room.as_mut_ptr(), ptr::null()) };
            reaper = self.reaper();
            reaper.in_kernel = false;
            if reaper.waiting > 0 {
                self.answered.notify_all();
            }
            match answer {
                Ok(n) => {
                    for event in &room[..n] {
                        self.deliver(event.data, event.res);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// One of the threads.
pub(in crate::engine) struct Member {
    shared: Arc<OneContext>,
    thread: usize,
    /// Submitted, and not taken from the inbox.
    in_flight: usize,
    /// How many were ever taken from the inbox.
    taken: usize,
}

impl Member {
    pub(in crate::engine) fn new(shared: &Arc<OneContext>, thread: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            thread,
            in_flight: 0,
            taken: 0,
        }
    }

    fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[self.thread]
    }

    /// How many can be taken from the inbox.
    #[inline]
    fn delivered(&self) -> usize {
        self.inbox().count.load(Acquire).wrapping_sub(self.taken)
    }
}

// SAFETY: whoever takes events delivers each once, to the thread in its tag, with the rest of its data; `drop` waits.
unsafe impl Calls for Member {
    fn tag(&self) -> u64 {
        (self.thread as u64) << 32
    }

    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let context = self.shared.floor.context();
        // SAFETY: the array is readable in its length, and the caller promises the rest.
        let taken = unsafe { io_submit(context, iocbs.len() as isize, iocbs.as_ptr()) }?;
        self.in_flight += taken;
        Ok(taken)
    }

    #[inline(always)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        // What is in the ring is taken even if something was delivered: another thread may have looked in the middle
        // of our submission, and small batches cost more.
        if self.delivered() < self.in_flight {
            self.shared.reap(events, || self.delivered() > 0)?;
        }
        let n = self.delivered().min(events.len());
        for (event, number) in events[..n].iter_mut().zip(0..) {
            let entry = self.inbox().entry(self.taken.wrapping_add(number));
            event.data = entry.data.load(Relaxed);
            event.res = entry.result.load(Relaxed);
        }
        self.taken = self.taken.wrapping_add(n);
        self.in_flight -= n;
        Ok(n)
    }
}

impl Drop for Member {
    /// The context lives on with the other threads, so that destroying it can't end what is in flight.
    fn drop(&mut self) {
        let mut events = [IoEvent::default(); 32];
        while self.in_flight > 0 {
            if self.wait(&mut events).is_err() {
                // The kernel would go on using iocbs and buffers that are freed next.
                process::abort();
            }
        }
    }
}
