//! `floor` for threads that share a context. Each thread has its own requests. The thread that
//! takes completions hands the other threads theirs.

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

/// A context and the state that its threads share. The last thread destroys it.
pub(in crate::engine) struct OneContext {
    floor: Floor,
    reaper: Mutex<Reaper>,
    /// Notified when the thread that waited in the kernel comes back.
    answered: Condvar,
    /// One for each thread.
    inboxes: Box<[Inbox]>,
}

/// The right to take completions, for the thread that holds the lock, unless another thread waits
/// in the kernel for them.
struct Reaper {
    ring: Option<Ring>,
    /// Whether a thread is in `io_getevents`, without the lock.
    in_kernel: bool,
    /// The number of other threads that wait for it to come back.
    waiting: u32,
}

/// The completions of one thread's requests that it hasn't taken yet. The thread with the reaper's
/// lock puts them there.
// Aligned so that threads write to each other's cache lines as rarely as possible.
#[repr(align(128))]
struct Inbox {
    /// The number of completions that were ever put there.
    count: AtomicUsize,
    /// At least as many entries as the thread has in flight: a power of two.
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

    /// Only the thread with the reaper's lock calls this.
    #[inline]
    fn put(&self, data: u64, result: i64) {
        let count = self.count.load(Relaxed);
        // The entry was taken before: there are at least as many entries as requests in flight.
        let entry = self.entry(count);
        entry.data.store(data, Relaxed);
        entry.result.store(result, Relaxed);
        // Release: a thread that sees the count sees the entry.
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
        // A panic leaves nothing half done in the reaper.
        self.reaper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn deliver(&self, data: u64, result: i64) {
        let thread = (data >> 32) as usize;
        self.inboxes[thread].put(data & u64::from(u32::MAX), result);
    }

    /// Takes the completions in the ring. No thread is in `io_getevents`.
    #[inline]
    fn read_ring(&self, reaper: &Reaper) {
        let Some(ring) = &reaper.ring else { return };
        let (mut head, tail) = ring.bounds();
        if head == tail {
            return;
        }
        while head != tail {
            // SAFETY: the slot lies between head and tail. This thread has the reaper's lock and no
            // thread is in io_getevents, so nobody else takes events.
            let (data, result) = unsafe { ring.event(head) };
            self.deliver(data, result);
            head = ring.after(head);
        }
        ring.release(head);
    }

    /// Takes completions until `enough` returns true. An operation in flight has to make it true.
    /// `room` is for the events of a call.
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
            // The other threads must get to their inboxes meanwhile.
            reaper.in_kernel = true;
            drop(reaper);
            let context = self.floor.context();
            let nr = room.len() as isize;
            // SAFETY: `room` has room for `nr` events. A null timeout waits without limit.
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

/// One of the threads' share of the context.
pub(in crate::engine) struct Member {
    shared: Arc<OneContext>,
    thread: usize,
    /// The number of requests submitted and not yet taken from the inbox.
    in_flight: usize,
    /// The number of completions that were ever taken from the inbox.
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

    /// The number of completions that can be taken from the inbox.
    #[inline]
    fn delivered(&self) -> usize {
        self.inbox().count.load(Acquire).wrapping_sub(self.taken)
    }
}

// SAFETY: the thread that takes an event delivers it once, to the thread in its tag, with the rest
// of its data. `drop` waits for all requests.
unsafe impl Calls for Member {
    fn tag(&self) -> u64 {
        (self.thread as u64) << 32
    }

    #[inline(always)]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let context = self.shared.floor.context();
        // SAFETY: the slice is an array of `iocbs.len()` pointers. The caller promises, as
        // `Calls::submit` demands, that iocbs and buffers stay where they are and are left alone
        // until their events came.
        let taken = unsafe { io_submit(context, iocbs.len() as isize, iocbs.as_ptr()) }?;
        self.in_flight += taken;
        Ok(taken)
    }

    #[inline(always)]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        // The ring is read even if something was delivered: another thread may have read it in the
        // middle of our submission, and small batches cost more.
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
    /// Waits for this thread's requests. The other threads keep the context, so nobody destroys it
    /// here.
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
