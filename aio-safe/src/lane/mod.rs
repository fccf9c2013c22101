//! A share of a queue for one thread or task: many operations of one kind, and their results as they come.

#![allow(unsafe_code, reason = "fills slots, submits them, and takes from them")]

mod batch;
mod places;

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    OpError, Queue,
    engine::{
        complete::Own,
        inbox::{Count, Inbox},
        leader::Goal,
        slot::Slot,
        wait::{Alarm, Unreachable},
    },
    error::QueueError,
    lane::places::Places,
    op::{Held, Payload, ReadWrite, sealed},
};

pub use batch::LaneBatch;

/// A share of a queue: places of its own for reads and writes of one buffer type, which are submitted together,
/// and whose results are taken as they come, each with the value that was pushed with it. Made by
/// [`Queue::lane`].
///
/// This is how a program does many operations at the least cost: a loop that takes what is done and submits as
/// many again. There is no handle for each operation, a value says which one it is; the places stay the lane's,
/// and results come a batch at a time. Several lanes of one queue, in several threads, don't get in each other's way
/// much; operations that are waited for one by one, and syncs, go by [`Queue::submit`] as ever.
///
/// ```
/// use aio_safe::{AlignedBuf, Op, Queue};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// # std::fs::write(&path, (0..64 * 512).map(|n| (n / 512) as u8).collect::<Vec<_>>())?;
///
/// let queue = Queue::new(16)?;
/// let file = std::fs::File::open(path)?;
///
/// // Reads 64 blocks, 8 at a time.
/// let mut lane = queue.lane(8)?;
/// let mut blocks = 0..64;
/// let mut batch = lane.batch();
/// for block in blocks.by_ref().take(8) {
///     batch.push(&file, Op::read(AlignedBuf::zeroed(512, 512)?, block * 512), block)?;
/// }
/// batch.submit()?;
/// drop(batch);
/// let mut seen = 0;
/// while lane.wait_ready(None) > 0 {
///     let mut batch = lane.batch();
///     while let Some((block, read)) = batch.try_take() {
///         let (n, buffer) = read.into_result()?;
///         assert_eq!((n, u64::from(buffer[511])), (512, block));
///         seen += 1;
///         if let Some(next) = blocks.next() {
///             batch.push(&file, Op::read(buffer, next * 512), next)?;
///         }
///     }
///     batch.submit()?;
/// }
/// assert_eq!(seen, 64);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Memory
///
/// Nothing is allocated for an operation as long as its buffer type and its value take 72 bytes together, or 16
/// with vectored buffers. What is larger is boxed.
///
/// # Dropping
///
/// Dropping a lane abandons what is in flight, as dropping a [`Pending`](crate::Pending) does: it goes on, buffers
/// stay where they are until the kernel is done with them, and results are lost. Places are given back as they get free.
/// A lane is a handle of its queue, which stays open as long as a lane does. A lane that is forgotten keeps its places
/// for ever.
#[must_use = "dropping a lane gives its places back"]
pub struct Lane<P: ReadWrite, T: Send + 'static = ()> {
    inbox: NonNull<Inbox<Slot>>,
    /// The empty ones. Slots live as long as `queue`, which is dropped after all that refers to them.
    pub(crate) places: Places,
    /// Those with a result that isn't in the inbox: of operations that the kernel refused; when the lane goes, of all.
    pub(crate) aside: Vec<&'static Slot>,
    /// How many operations were accepted.
    pub(crate) accepted: Count,
    /// Whether there may be a waker in it.
    registered: bool,
    pub(crate) queue: Queue,
    payload: Held<Tagged<P, T>>,
}

/// What a lane's operation owns: the value goes with it.
pub(crate) struct Tagged<P, T> {
    pub(crate) payload: P,
    pub(crate) value: T,
}

impl<P: ReadWrite, T: Send + 'static> sealed::Payload for Tagged<P, T> {
    #[inline]
    fn place(&mut self) -> (u64, u64) {
        self.payload.place()
    }
}

impl<P: ReadWrite, T: Send + 'static> Payload for Tagged<P, T> {
    type Output = (T, P::Output);

    #[inline]
    unsafe fn settle(&mut self, n: u64) {
        // SAFETY: the caller's promise, and the operation was the payload's.
        unsafe { self.payload.settle(n) }
    }

    #[inline]
    fn output(self, result: Result<u64, OpError>) -> Self::Output {
        (self.value, self.payload.output(result))
    }
}

// SAFETY: the inbox is Send and Sync, slots are Sync, and what is in them is Send.
unsafe impl<P: ReadWrite, T: Send + 'static> Send for Lane<P, T> {}
// SAFETY: everything that takes or changes anything needs `&mut self`.
unsafe impl<P: ReadWrite, T: Send + 'static> Sync for Lane<P, T> {}

// Whatever panics in foreign code, a lane is in order when it does.
impl<P: ReadWrite, T: Send + 'static> UnwindSafe for Lane<P, T> {}
impl<P: ReadWrite, T: Send + 'static> RefUnwindSafe for Lane<P, T> {}

impl<P: ReadWrite, T: Send + 'static> Lane<P, T> {
    pub(crate) fn new(queue: &Queue, places: u32) -> Result<Self, QueueError> {
        let shared = queue.shared();
        if !shared.process.is_current() {
            return Err(QueueError::Forked);
        }
        if shared.gate.is_closed() {
            return Err(QueueError::Closed);
        }
        let slab = &shared.slab;
        // Else it would hold all places for a moment, and others find none.
        if places > slab.depth() {
            return Err(QueueError::QueueFull);
        }
        let mut slots: Vec<&'static Slot> = Vec::with_capacity(places as usize);
        while slots.len() < places as usize {
            let want = places - slots.len() as u32;
            let mut claimed = slab.claim(want);
            if claimed.is_empty() {
                claimed = shared.claim_after_all(want);
            }
            if claimed.is_empty() {
                for slot in slots {
                    give_back(queue, slot);
                }
                return Err(shared.why_not_claimed());
            }
            let claimed = claimed.map(|index| NonNull::from(slab.claimed(index)));
            // SAFETY: the slab stays where it is as long as there is a queue, and the lane will have one.
            slots.extend(claimed.map(|slot| unsafe { slot.as_ref() }));
        }
        let inbox = Inbox::new(places);
        for slot in &slots {
            // SAFETY: it was claimed just now.
            unsafe { slot.set_inbox(Some(inbox)) };
            // SAFETY: as above.
            unsafe { slot.set_payload_type::<Tagged<P, T>>() };
        }
        Ok(Self {
            inbox,
            places: Places::new(slots),
            aside: Vec::new(),
            accepted: Count::ZERO,
            registered: false,
            queue: queue.clone(),
            payload: PhantomData,
        })
    }

    /// Begins a batch, which goes to the kernel in one `io_submit`.
    #[inline]
    pub fn batch(&mut self) -> LaneBatch<'_, P, T> {
        LaneBatch::new(self)
    }

    /// The next result, if somebody has reaped it, with the value that was pushed with the operation. In no order.
    // Always: what is taken is to stay in registers.
    #[inline(always)]
    pub fn try_take(&mut self) -> Option<(T, P::Output)> {
        let slot = if self.places.results() > 0 {
            // SAFETY: the inbox lives as long as the lane.
            let inbox = unsafe { self.inbox.as_ref() };
            // SAFETY: there is a result, which is taken below; the queue is dropped last.
            unsafe { self.places.take(inbox) }
        } else {
            self.slot_after_all()?
        };
        // SAFETY: the result was delivered to us, the only one to take it, or refused; and `push` filled
        // the slot. If this panics the slot is empty all the same.
        Some(unsafe { slot.take::<Tagged<P, T>>() })
    }

    /// The slot of a result, where nothing is known to be delivered. It counts as empty from now on.
    #[inline(never)]
    fn slot_after_all(&mut self) -> Option<&'static Slot> {
        // First, as there may be no end to the others.
        if let Some(slot) = self.aside.pop() {
            self.places.put(slot);
            return Some(slot);
        }
        // SAFETY: as in `try_take`.
        let inbox = unsafe { self.inbox.as_ref() };
        // SAFETY: as above.
        self.look().then(|| unsafe { self.places.take(inbox) })
    }

    /// Looks whether something was delivered.
    #[inline]
    fn look(&mut self) -> bool {
        self.places.delivered(self.inbox().count());
        self.places.results() > 0
    }

    /// Waits until there is a result, but no longer than `timeout`, and returns how many can be taken; `None` waits
    /// without a limit. The thread reaps for the whole queue meanwhile, unless another one does. 0 at once when there
    /// is nothing in flight. No timeout at all, [`Duration::ZERO`], looks without a system call where that is possible.
    ///
    /// The waker of an earlier [`poll_ready`](Self::poll_ready) is forgotten.
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    #[doc(alias = "io_getevents")]
    #[inline]
    pub fn wait_ready(&mut self, timeout: Option<Duration>) -> usize {
        let look_only = timeout == Some(Duration::ZERO) && self.queue.reads_ring();
        if !self.has_results() && self.in_flight() > 0 && !self.glance() && !look_only {
            // A timeout beyond what an Instant can say is none.
            let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            self.wait_for_news(deadline);
            self.look();
        }
        self.results()
    }

    /// The next result, with the value that was pushed with the operation: waits until there is one. `None` when
    /// nothing is in flight.
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    pub fn wait(&mut self) -> Option<(T, P::Output)> {
        self.wait_ready(None);
        self.try_take()
    }

    /// As [`wait_ready`](Self::wait_ready), for tasks: ready when there is a result, or nothing in flight. As with a
    /// [`Pending`](crate::Pending), completions that are there are taken, but some thread must be in `reap`, `wait`,
    /// [`Queue::drain`] or [`Queue::reap`] to wake the task. The waker of the last call is woken,
    /// unless `reap` or `wait` was called since.
    ///
    /// # Panics
    ///
    /// In a child process made by `fork`, and with the panic of somebody else's waker or destructor, see
    /// [`Queue::reap`].
    #[inline]
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if !self.has_results() && self.in_flight() > 0 && !self.poll_news(context) {
            return Poll::Pending;
        }
        Poll::Ready(self.results())
    }

    /// As [`wait`](Self::wait), for tasks; see [`poll_ready`](Self::poll_ready). Nothing is lost when the future is
    /// dropped.
    ///
    /// # Panics
    ///
    /// As [`poll_ready`](Self::poll_ready).
    pub async fn next(&mut self) -> Option<(T, P::Output)> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.try_take()
    }

    /// Whether there is a result; otherwise the waker will be woken.
    fn poll_news(&mut self, context: &mut Context<'_>) -> bool {
        self.glance() || {
            self.registered = true;
            !self.inbox().register(context.waker(), self.places.taken()) && self.look()
        }
    }

    /// Takes what completions are there, unless another thread is about to. Whether there is a result.
    #[inline]
    fn glance(&mut self) -> bool {
        self.check_process();
        self.queue.shared().glance(Own::lane(self.inbox));
        self.look() || {
            // What has run may have forked.
            self.check_process();
            false
        }
    }

    #[cold]
    fn wait_for_news(&mut self, deadline: Option<Instant>) {
        // A waker of an executor is foreign code: it isn't to be dropped while standing in line.
        if mem::replace(&mut self.registered, true) {
            drop(self.inbox().take_waker());
            self.check_process();
        }
        let inbox = self.inbox();
        // Nothing is left of what was delivered.
        let seen = self.places.taken();
        let reached = || inbox.count() != seen;
        let arm = |alarm: Alarm<'_>| match alarm {
            Alarm::Waker(waker) => inbox.register(waker, seen),
            // The event ends the wait.
            Alarm::Kick => true,
        };
        let goal = Goal::News(inbox.news(seen));
        match self.queue.shared().wait_for(goal, deadline, reached, arm) {
            Ok(_) => {}
            Err(Unreachable::Forked) => self.check_process(),
            Err(Unreachable::Broken(errno)) => panic!(
                "the queue's context was broken from outside (io_getevents: {errno}), and the kernel \
                 may still use the operations' buffers"
            ),
        }
    }

    #[inline]
    fn inbox(&self) -> &Inbox<Slot> {
        // SAFETY: it is freed when the lane is.
        unsafe { self.inbox.as_ref() }
    }

    fn check_process(&self) {
        assert!(
            self.queue.shared().process.is_current(),
            "operations of the parent process can't be waited for after fork"
        );
    }

    /// How many results there are, as far as was seen.
    #[inline]
    pub fn results(&self) -> usize {
        self.places.results() + self.aside.len()
    }

    /// Whether there are results that somebody has reaped, and that weren't taken.
    #[inline]
    pub fn has_results(&mut self) -> bool {
        self.results() > 0 || self.look()
    }

    /// How many operations were submitted whose results weren't taken.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.accepted.since(self.places.taken()) + self.aside.len()
    }

    /// How many operations can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        self.places.empty().len()
    }

    /// Takes what was delivered out of the inbox, and leaves what follows to the completer. For the end.
    fn leave_inbox(&mut self) {
        loop {
            while self.places.results() > 0 {
                // SAFETY: the inbox is the lane's, until it is left.
                let inbox = unsafe { self.inbox.as_ref() };
                // SAFETY: there is a result; the queue is dropped last.
                let slot = unsafe { self.places.take_away(inbox) };
                self.aside.push(slot);
            }
            // SAFETY: all of them were taken, and the inbox isn't used again unless nothing is in flight.
            match unsafe { Inbox::leave(self.inbox, self.places.taken(), self.accepted) } {
                Ok(()) => break,
                Err(count) => self.places.delivered(count),
            }
        }
        if self.accepted == self.places.taken() {
            // SAFETY: nothing of ours is in flight, so nobody else uses it.
            unsafe { Inbox::free(self.inbox) };
        }
    }
}

impl<P: ReadWrite, T: Send + 'static> Drop for Lane<P, T> {
    fn drop(&mut self) {
        /// Goes on where a destructor has panicked.
        struct Rest<'l, P: ReadWrite, T: Send + 'static>(&'l mut Lane<P, T>);

        impl<P: ReadWrite, T: Send + 'static> Rest<'_, P, T> {
            fn empty(&mut self) {
                while let Some(slot) = self.0.aside.pop() {
                    self.0.places.put(slot);
                    // SAFETY: it is completed, ours, and `push` filled it. It is empty then, panic or not.
                    unsafe { slot.discard() };
                }
            }
        }

        impl<P: ReadWrite, T: Send + 'static> Drop for Rest<'_, P, T> {
            fn drop(&mut self) {
                self.empty();
                for slot in self.0.places.empty() {
                    // SAFETY: the slot is the lane's, and empty.
                    unsafe { slot.set_inbox(None) };
                    give_back(&self.0.queue, slot);
                }
            }
        }

        // In a child process the places are the parent's; what they own is leaked here.
        if self.queue.shared().process.is_current() {
            // Dropped last: it is foreign code.
            let _waker = self.inbox().take_waker();
            self.leave_inbox();
            Rest(self).empty();
        }
    }
}

/// Frees a slot that is claimed and empty.
fn give_back(queue: &Queue, slot: &Slot) {
    // SAFETY: the callers' places hold nothing, and are theirs; the queue keeps the slab.
    unsafe { queue.shared().free_held(slot.index()) };
}

impl<P: ReadWrite, T: Send + 'static> fmt::Debug for Lane<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("room", &self.room())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
