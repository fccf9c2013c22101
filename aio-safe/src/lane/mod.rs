//! A share of a queue for one thread or task: many operations of one kind, and their results as
//! they come.

#![allow(unsafe_code, reason = "fills slots, submits them, and takes from them")]

mod batch;
mod slots;

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

use aio_sys::Errno;

use crate::{
    OpError, Queue,
    engine::{
        inbox::{Count, Inbox},
        leader::Goal,
        slot::Slot,
        wait::{Alarm, Unreachable},
    },
    error::QueueError,
    lane::slots::Slots,
    op::{Held, Payload, ReadWrite, sealed},
};

pub use batch::LaneBatch;

/// A share of a queue: slots of its own, for reads and writes of one buffer type. Made by
/// [`Queue::lane`].
///
/// This is how a program does many operations at the least cost: a loop that takes results and
/// submits as many operations again. Operations are submitted together, and results are taken as
/// they come, each with the value that was pushed with its operation. There is no handle for each
/// operation: the value says which one it is. The slots stay the lane's.
///
/// Several lanes of one queue, in several threads, hardly disturb each other. Syncs, and operations
/// that are awaited one by one, go by [`Queue::submit`].
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
/// Nothing is allocated for an operation whose buffer type and value take at most 72 bytes
/// together, or 16 with vectored buffers. What is larger is boxed.
///
/// # Dropping
///
/// Dropping a lane abandons what is in flight, as dropping a [`Pending`](crate::Pending) does: the
/// operations go on, buffers stay where they are until the kernel is done with them, and results
/// are lost. Each slot is given back when it is free. The queue stays open as long as a lane of it
/// lives. A lane that is forgotten ([`std::mem::forget`]) keeps its slots for ever.
#[must_use = "dropping a lane gives its slots back"]
pub struct Lane<P: ReadWrite, T: Send + 'static = ()> {
    inbox: NonNull<Inbox<Slot>>,
    /// The empty ones. Slots live as long as `queue`, which is dropped after all that refers to
    /// them.
    slots: Slots,
    /// Slots with a result that isn't in the inbox: those of refused operations, and all when the
    /// lane goes.
    aside: Vec<&'static Slot>,
    /// How many operations were accepted.
    accepted: Count,
    /// Whether there may be a waker in the inbox.
    registered: bool,
    queue: Queue,
    payload: Held<Tagged<P, T>>,
}

/// What a lane's operation owns: the value goes with it.
struct Tagged<P, T> {
    payload: P,
    value: T,
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
        // SAFETY: the caller says that `n` is the result of the operation that this payload was in.
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
    pub(crate) fn new(queue: &Queue, count: u32) -> Result<Self, QueueError> {
        let shared = queue.shared();
        if !shared.process.is_current() {
            return Err(QueueError::Forked);
        }
        if shared.gate.is_closed() {
            return Err(QueueError::Closed);
        }
        let slab = &shared.slab;
        // Else it would hold all slots for a moment, and others find none.
        if count > slab.depth() {
            return Err(QueueError::QueueFull);
        }
        let mut slots: Vec<&'static Slot> = Vec::with_capacity(count as usize);
        while slots.len() < count as usize {
            let want = count - slots.len() as u32;
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
            // SAFETY: the slab stays where it is as long as there is a queue, and the lane will
            // have one.
            slots.extend(claimed.map(|slot| unsafe { slot.as_ref() }));
        }
        let inbox = Inbox::new(count);
        for slot in &slots {
            // SAFETY: it was claimed just now.
            unsafe { slot.set_inbox(Some(inbox)) };
            // SAFETY: the slot was claimed just now, and is empty.
            unsafe { slot.set_payload_type::<Tagged<P, T>>() };
        }
        Ok(Self {
            inbox,
            slots: Slots::new(slots),
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

    /// The `n`th of the slots that hold neither an operation that the kernel has nor a result.
    /// While there is a batch, the first of them hold what was pushed.
    #[inline(always)]
    fn empty_slot(&self, n: usize) -> Option<&'static Slot> {
        self.slots.empty().get(n).copied()
    }

    /// Submits what was pushed into the first `n` empty slots.
    ///
    /// # Errors
    ///
    /// How many of them the kernel has accepted or refused, and why not all, if it is an error.
    #[inline(always)]
    fn submit(&mut self, n: usize) -> Result<(), (usize, Result<(), QueueError>)> {
        let shared = self.queue.shared();
        let pushed = self.slots.empty().get(..n).unwrap_or_default();
        if pushed.is_empty() {
            return if shared.process.is_current() {
                Ok(())
            } else {
                Err((0, Err(QueueError::Forked)))
            };
        }
        // SAFETY: the slots are the lane's, its batch has filled them, and nobody else knows of
        // them.
        let submitted = unsafe { shared.submit(pushed) };
        let Err(answer) = submitted else {
            self.accepted = self.accepted.plus(n);
            self.slots.fill(n);
            return Ok(());
        };
        self.submitted_in_part(answer.answered);
        Err((answer.answered, answer.result))
    }

    /// Sorts out the first `answered` slots, which the kernel has accepted or refused.
    #[cold]
    fn submitted_in_part(&mut self, answered: usize) {
        for slot in self.slots.empty().iter().take(answered) {
            if slot.is_done() {
                // SAFETY: it is ours, nobody waits for it, and its result is taken before it is
                // filled.
                unsafe { slot.retire() };
                self.aside.push(slot);
            } else {
                self.accepted = self.accepted.plus(1);
            }
        }
        self.slots.fill(answered);
    }

    /// Makes results, refused with ECANCELED, of what was pushed into the first `n` empty slots.
    #[cold]
    fn refuse(&mut self, n: usize) {
        // In a child process the slots are the parent's.
        if !self.queue.shared().process.is_current() {
            return;
        }
        for slot in self.slots.empty().iter().take(n) {
            // SAFETY: the slot is the lane's and filled, and nobody else knows of it.
            unsafe { slot.start() };
            // SAFETY: the kernel wasn't told of the request, and it has no handle.
            unsafe { slot.refuse(Errno::ECANCELED) };
        }
        self.submitted_in_part(n);
    }

    /// Takes the next result, if there is one that somebody has reaped, with the value that was
    /// pushed with its operation. Results come in no particular order.
    // Always: what is taken is to stay in registers.
    #[inline(always)]
    pub fn try_take(&mut self) -> Option<(T, P::Output)> {
        let slot = if self.slots.results() > 0 {
            // SAFETY: the inbox lives as long as the lane.
            let inbox = unsafe { self.inbox.as_ref() };
            // SAFETY: there is a result, which is taken below; the queue is dropped last.
            unsafe { self.slots.take(inbox) }
        } else {
            self.slot_after_all()?
        };
        // SAFETY: the result was delivered to us, the only one to take it, or refused; and `push`
        // filled the slot. If this panics the slot is empty all the same.
        Some(unsafe { slot.take::<Tagged<P, T>>() })
    }

    /// The slot of a result, when no delivered result is known of. It counts as empty from now on.
    #[inline(never)]
    fn slot_after_all(&mut self) -> Option<&'static Slot> {
        // First, as there may be no end to the others.
        if let Some(slot) = self.aside.pop() {
            self.slots.put(slot);
            return Some(slot);
        }
        // SAFETY: the inbox lives as long as the lane.
        let inbox = unsafe { self.inbox.as_ref() };
        // SAFETY: there is a result, which the caller takes; the queue is dropped last.
        self.look().then(|| unsafe { self.slots.take(inbox) })
    }

    /// Looks into the inbox. Returns whether there is a result.
    #[inline]
    fn look(&mut self) -> bool {
        self.slots.delivered(self.inbox().count());
        self.slots.results() > 0
    }

    /// Waits until there is a result, and returns how many can be taken. It waits no longer than
    /// `timeout`; `None` waits without limit. It returns 0 at once when nothing is in flight.
    ///
    /// The thread reaps for the whole queue meanwhile, unless another one does. A timeout of
    /// [`Duration::ZERO`] looks only: without a system call, if the queue
    /// [reads the ring](Queue::reads_ring).
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

    /// Waits for the next result, and takes it, with the value that was pushed with its operation.
    /// `None` when nothing is in flight.
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    pub fn wait(&mut self) -> Option<(T, P::Output)> {
        self.wait_ready(None);
        self.try_take()
    }

    /// As [`wait_ready`](Self::wait_ready), for tasks: ready when there is a result, or nothing in
    /// flight. It takes completions that are there, as polling a [`Pending`](crate::Pending) does.
    /// But some thread must reap to wake the task: see [`Pending`](crate::Pending).
    ///
    /// The waker of the last call is woken, unless `wait_ready` or `wait` was called since.
    ///
    /// # Panics
    ///
    /// In a child process made by `fork`, and with the panic of somebody else's waker or
    /// destructor, see [`Queue::reap`].
    #[inline]
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if !self.has_results() && self.in_flight() > 0 && !self.poll_news(context) {
            return Poll::Pending;
        }
        Poll::Ready(self.results())
    }

    /// As [`wait`](Self::wait), for tasks; see [`poll_ready`](Self::poll_ready). Dropping the
    /// future loses nothing.
    ///
    /// # Panics
    ///
    /// As [`poll_ready`](Self::poll_ready).
    pub async fn next(&mut self) -> Option<(T, P::Output)> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.try_take()
    }

    /// Returns whether there is a result. If not, the waker will be woken.
    fn poll_news(&mut self, context: &mut Context<'_>) -> bool {
        self.glance() || {
            self.registered = true;
            let registered = self.inbox().register(context.waker(), self.slots.taken());
            // The waker's clone, or the destructor of an earlier waker, may have forked. Nobody
            // wakes the parent's operations in a child.
            self.check_process();
            !registered && self.look()
        }
    }

    /// Takes the completions that are there, unless another thread leads. Returns whether there is
    /// a result.
    #[inline]
    fn glance(&mut self) -> bool {
        self.check_process();
        // SAFETY: the inbox is this lane's, and nobody else uses the lane meanwhile, because of
        // `&mut`.
        unsafe { self.queue.shared().glance_for_lane(self.inbox) };
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
        let seen = self.slots.taken();
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
                "the queue's context was broken from outside (io_getevents: {errno}), and the \
                 kernel may still use the operations' buffers"
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

    /// How many results there are, as far as this lane has looked.
    #[inline]
    pub fn results(&self) -> usize {
        self.slots.results() + self.aside.len()
    }

    /// Whether there are results that somebody has reaped, and that weren't taken.
    #[inline]
    pub fn has_results(&mut self) -> bool {
        self.results() > 0 || self.look()
    }

    /// How many operations were submitted whose results weren't taken.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.accepted.since(self.slots.taken()) + self.aside.len()
    }

    /// How many operations can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        self.slots.empty().len()
    }

    /// Takes delivered slots out of the inbox, and leaves those that follow to the completer. For
    /// the end.
    fn leave_inbox(&mut self) {
        loop {
            while self.slots.results() > 0 {
                // SAFETY: the inbox is the lane's, until it is left.
                let inbox = unsafe { self.inbox.as_ref() };
                // SAFETY: there is a result; the queue is dropped last.
                let slot = unsafe { self.slots.take_away(inbox) };
                self.aside.push(slot);
            }
            // SAFETY: all of them were taken, and the inbox isn't used again unless nothing is in
            // flight.
            match unsafe { Inbox::leave(self.inbox, self.slots.taken(), self.accepted) } {
                Ok(()) => break,
                Err(count) => self.slots.delivered(count),
            }
        }
        if self.accepted == self.slots.taken() {
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
                    self.0.slots.put(slot);
                    // SAFETY: it is completed, ours, and `push` filled it. It is empty then, panic
                    // or not.
                    unsafe { slot.discard() };
                }
            }
        }

        impl<P: ReadWrite, T: Send + 'static> Drop for Rest<'_, P, T> {
            fn drop(&mut self) {
                self.empty();
                for slot in self.0.slots.empty() {
                    // SAFETY: the slot is the lane's, and empty.
                    unsafe { slot.set_inbox(None) };
                    give_back(&self.0.queue, slot);
                }
            }
        }

        // In a child process the slots are the parent's; what they own is leaked here.
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
    // SAFETY: the slot is the caller's and empty, and the queue keeps the slab.
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
