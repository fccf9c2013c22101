//! A lane: a share of a queue's slots, for one thread or task that does many reads and writes.

#![allow(unsafe_code, reason = "fills slots, submits them, and takes from them")]

mod batch;
mod slots;
#[cfg(feature = "stream")]
mod stream;

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
        trace,
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
/// Of all ways to submit, a lane costs least per operation. Use it in a loop that takes results
/// and submits a new operation for each. Operations are submitted together. Results are taken as
/// they come, each with the value that was pushed with its operation. An operation has no handle:
/// the value says which operation a result belongs to. The lane keeps its slots until it is
/// dropped.
///
/// Several lanes of one queue, in several threads, hardly slow each other down. Syncs, and
/// operations that are awaited one by one, go through [`Queue::submit`].
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
/// Nothing is allocated for an operation on one buffer if the buffer type and the value take at
/// most 64 bytes together. Larger ones are boxed. A vectored operation allocates its iovecs when it
/// is made. It is boxed too if the value takes more than 8 bytes.
///
/// # Dropping
///
/// Dropping a lane abandons what is in flight, as [dropping a
/// `Pending`](crate::Pending#dropping) does: **a dropped write may still land**, and
/// [`Queue::drain`] is the barrier. The kernel carries the operations out, the queue keeps their
/// buffers until then, and the results are lost. Their slots are free when the thread that reaps
/// the completions has dropped the buffers. The other slots are free at once. That may run the
/// wakers of tasks that wait for a slot: see [`Queue`](Queue#wakers-and-destructors).
///
/// The queue stays open as long as a lane of it lives. A lane that is forgotten
/// ([`std::mem::forget`]) keeps its slots for ever.
#[must_use = "dropping a lane gives its slots back"]
pub struct Lane<P: ReadWrite, T: Send + 'static = ()> {
    inbox: NonNull<Inbox<Slot>>,
    /// The resting slots. Slots live as long as `queue`, which is dropped after all fields that
    /// refer to them.
    slots: Slots,
    /// Slots with a result that isn't in the inbox: those of refused operations, and all while the
    /// lane is dropped.
    aside: Vec<&'static Slot>,
    /// How many operations the kernel has accepted.
    accepted: Count,
    /// Whether there may be a waker in the inbox.
    registered: bool,
    queue: Queue,
    payload: Held<Tagged<P, T>>,
}

/// A lane's payload: the operation's own, and the user's value.
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

// SAFETY: the inbox is Send and Sync, slots are Sync, and the payloads in them are Send.
unsafe impl<P: ReadWrite, T: Send + 'static> Send for Lane<P, T> {}
// SAFETY: everything that takes or changes anything needs `&mut self`.
unsafe impl<P: ReadWrite, T: Send + 'static> Sync for Lane<P, T> {}

// A lane is in a valid state whenever foreign code runs, so a panic of that code leaves it valid.
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
        // Otherwise it would claim all slots before it fails, and other threads would find none.
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
            // SAFETY: the slab stays where it is while a queue handle lives, and the lane gets one
            // below.
            slots.extend(claimed.map(|slot| unsafe { slot.as_ref() }));
        }
        let inbox = Inbox::new(count);
        for slot in &slots {
            // SAFETY: the slot was claimed just now, and is empty.
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

    /// The `n`th resting slot: one that isn't in flight and holds no result. While there is a
    /// batch, the first of them hold the operations that were pushed.
    #[inline(always)]
    fn empty_slot(&self, n: usize) -> Option<&'static Slot> {
        self.slots.empty().get(n).copied()
    }

    /// Submits the operations that were pushed into the first `n` resting slots.
    ///
    /// # Errors
    ///
    /// How many were answered, and the error that kept the rest from being submitted, if any. The
    /// kernel has accepted or refused each operation that was answered.
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
        // SAFETY: the slots are the lane's, which claimed them. Its batch has filled them, and a
        // lane makes no handles.
        let submitted = unsafe { shared.submit(pushed) };
        let Err(answer) = submitted else {
            self.accepted = self.accepted.plus(n);
            self.slots.fill(n);
            return Ok(());
        };
        self.submitted_in_part(answer.answered);
        Err((answer.answered, answer.result))
    }

    /// Sets the refused ones of the first `answered` slots aside. The kernel has accepted the
    /// others.
    #[cold]
    fn submitted_in_part(&mut self, answered: usize) {
        for slot in self.slots.empty().iter().take(answered) {
            if slot.is_done() {
                // SAFETY: the request was refused, so the slot is the lane's. No handle has stored
                // a waker. The payload is taken before the slot is filled again.
                unsafe { slot.retire() };
                self.aside.push(slot);
            } else {
                self.accepted = self.accepted.plus(1);
            }
        }
        self.slots.fill(answered);
    }

    /// Turns the operations in the first `n` resting slots into results: refused with ECANCELED.
    #[cold]
    fn refuse(&mut self, n: usize) {
        // In a child process the slots are the parent's.
        if !self.queue.shared().process.is_current() {
            return;
        }
        for slot in self.slots.empty().iter().take(n) {
            // SAFETY: the lane has claimed the slot, and its batch has filled it.
            unsafe { slot.start(trace::now()) };
            // SAFETY: the slot was started just now and isn't passed to the kernel. A lane makes no
            // handles.
            unsafe { slot.refuse(Errno::ECANCELED) };
        }
        self.submitted_in_part(n);
    }

    /// Takes the next result that a thread has reaped, if there is one, with the value that was
    /// pushed with its operation. It doesn't reap. Results come in no particular order.
    ///
    /// # Panics
    ///
    /// When the result is lost because the queue's context is broken and can't be destroyed. Also
    /// when a method of the buffer panics.
    // Always inlined, so the result stays in registers.
    #[inline(always)]
    pub fn try_take(&mut self) -> Option<(T, P::Output)> {
        let slot = if self.slots.results() > 0 {
            // SAFETY: the inbox lives as long as the lane.
            let inbox = unsafe { self.inbox.as_ref() };
            // SAFETY: there is a result, and the payload is taken below. The queue is dropped after
            // all fields that refer to slots.
            unsafe { self.slots.take(inbox) }
        } else {
            self.slot_after_all()?
        };
        // SAFETY: the result was delivered to this lane, or its request was refused. So payload and
        // result are the lane's, which takes them once. `push` filled the slot with this type. If
        // this panics, the slot is empty all the same.
        Some(unsafe { slot.take::<Tagged<P, T>>() })
    }

    /// The slot of a result, when all results that this lane knows of are taken. The slot counts as
    /// resting from now on.
    #[inline(never)]
    fn slot_after_all(&mut self) -> Option<&'static Slot> {
        // These come first, because delivered results may keep coming without end.
        if let Some(slot) = self.aside.pop() {
            self.slots.put(slot);
            return Some(slot);
        }
        // SAFETY: the inbox lives as long as the lane.
        let inbox = unsafe { self.inbox.as_ref() };
        // SAFETY: there is a result, and the caller takes the payload. The queue is dropped after
        // all fields that refer to slots.
        self.look().then(|| unsafe { self.slots.take(inbox) })
    }

    /// Looks into the inbox. Returns whether there is a result.
    #[inline]
    fn look(&mut self) -> bool {
        self.slots.delivered(self.inbox().count());
        self.slots.results() > 0
    }

    /// Waits until there is a result, and returns how many results can be taken now. It waits for
    /// at most `timeout`. `None` waits without limit, and so does a timeout that an [`Instant`]
    /// can't represent. It returns 0 at once when nothing is in flight.
    ///
    /// The thread reaps for the whole queue meanwhile, unless another one does. A timeout of
    /// [`Duration::ZERO`] doesn't wait, and makes no system call if the queue [reads the
    /// ring](Queue::reads_ring).
    ///
    /// If it has to wait, the waker of an earlier [`poll_ready`](Self::poll_ready) is dropped.
    ///
    /// # Deadlocks
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait). A panic abandons nothing here: the lane can be
    /// used again.
    #[doc(alias = "io_getevents")]
    #[inline]
    pub fn wait_ready(&mut self, timeout: Option<Duration>) -> usize {
        let look_only = timeout == Some(Duration::ZERO) && self.queue.reads_ring();
        if !self.has_results() && self.in_flight() > 0 && !self.glance() && !look_only {
            // A timeout that an Instant can't represent counts as no timeout.
            let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            self.wait_for_news(deadline);
            self.look();
        }
        self.results()
    }

    /// Waits for the next result, and takes it, with the value that was pushed with its operation.
    /// `None` when nothing is in flight.
    ///
    /// # Deadlocks
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`](crate::Pending::wait).
    pub fn wait(&mut self) -> Option<(T, P::Output)> {
        self.wait_ready(None);
        self.try_take()
    }

    /// As [`wait_ready`](Self::wait_ready), for tasks: ready when there is a result, or when
    /// nothing is in flight. It takes the completions that are there, as polling a
    /// [`Pending`](crate::Pending) does. The queue's [driver](crate::queue::Driver) wakes the task.
    ///
    /// Only the waker of the latest call is woken. It isn't woken for results that a call on this
    /// lane reaps itself. If `wait_ready` or `wait` has to wait, it drops the waker.
    ///
    /// # Panics
    ///
    /// In a child process made by `fork`. Also when another task's waker or an abandoned buffer's
    /// destructor that it runs panics: see [`Queue::reap`].
    #[inline]
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        #[cfg(feature = "tokio")]
        let share = std::task::ready!(self.queue.shared().poll_share(context));
        if !self.has_results() && self.in_flight() > 0 && !self.poll_news(context) {
            return Poll::Pending;
        }
        #[cfg(feature = "tokio")]
        share.keep();
        Poll::Ready(self.results())
    }

    /// As [`wait`](Self::wait), for tasks. Dropping the future, in `select!` for example, abandons
    /// nothing and loses no result. Dropping [the lane](Lane#dropping) does both. With the feature
    /// `stream`, a lane is a `Stream` too.
    ///
    /// # Panics
    ///
    /// As [`poll_ready`](Self::poll_ready) and [`try_take`](Self::try_take).
    pub async fn next(&mut self) -> Option<(T, P::Output)> {
        poll_fn(|context| self.poll_ready(context)).await;
        self.try_take()
    }

    /// Returns whether there is a result. If not, the waker will be woken.
    fn poll_news(&mut self, context: &mut Context<'_>) -> bool {
        self.glance() || {
            self.registered = true;
            let registered = self.inbox().register(context.waker(), self.slots.taken());
            if registered {
                let shared = self.queue.shared();
                shared.drive(context.waker(), || shared.hold());
            }
            // The waker's clone, or the destructor of an earlier waker, may have forked. Nobody
            // wakes the parent's operations in a child.
            self.check_process();
            !registered && self.look()
        }
    }

    /// Takes the completions in the ring, unless another thread leads. Returns whether there is a
    /// result.
    #[inline]
    fn glance(&mut self) -> bool {
        self.check_process();
        // SAFETY: the inbox is this lane's, and nobody else uses the lane meanwhile, because of
        // `&mut`.
        unsafe { self.queue.shared().glance_for_lane(self.inbox) };
        self.look() || {
            // A waker or destructor that has run may have forked.
            self.check_process();
            false
        }
    }

    #[cold]
    fn wait_for_news(&mut self, deadline: Option<Instant>) {
        // A waker of an executor is foreign code, so it is dropped before this thread leads or
        // follows.
        if mem::replace(&mut self.registered, true) {
            drop(self.inbox().take_waker());
            self.check_process();
        }
        let inbox = self.inbox();
        // All delivered results are taken.
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
        // SAFETY: the lane frees its inbox only when it is dropped itself.
        unsafe { self.inbox.as_ref() }
    }

    fn check_process(&self) {
        assert!(
            self.queue.shared().process.is_current(),
            "operations of the parent process can't be waited for after fork"
        );
    }

    /// How many results can be taken, as far as this lane knows: it doesn't look for new ones.
    #[inline]
    pub fn results(&self) -> usize {
        self.slots.results() + self.aside.len()
    }

    /// Whether there are results that a thread has reaped and that weren't taken. It looks for new
    /// ones, but doesn't reap.
    #[inline]
    pub fn has_results(&mut self) -> bool {
        self.results() > 0 || self.look()
    }

    /// How many operations were submitted whose results weren't taken. Results that can be taken
    /// count here, but they don't in [`Queue::in_flight`].
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.accepted.since(self.slots.taken()) + self.aside.len()
    }

    /// How many operations can be pushed now.
    #[inline]
    pub fn room(&self) -> usize {
        self.slots.empty().len()
    }

    /// Takes delivered slots out of the inbox, and leaves later ones to the completer. Used when
    /// the lane is dropped.
    fn leave_inbox(&mut self) {
        loop {
            while self.slots.results() > 0 {
                // SAFETY: the inbox is the lane's, until it is left.
                let inbox = unsafe { self.inbox.as_ref() };
                // SAFETY: there is a result. The queue is dropped after all fields that refer to
                // slots.
                let slot = unsafe { self.slots.take_away(inbox) };
                self.aside.push(slot);
            }
            // SAFETY: the waker was taken by the caller, and all completions that the lane knows of
            // were taken above. A lane that is being dropped submits nothing. The inbox is used
            // below only if nothing is in flight.
            match unsafe { Inbox::leave(self.inbox, self.slots.taken(), self.accepted) } {
                Ok(()) => break,
                Err(count) => self.slots.delivered(count),
            }
        }
        if self.accepted == self.slots.taken() {
            // SAFETY: nothing of this lane's is in flight, so no completer uses the inbox. The lane
            // has left it, and doesn't use it again.
            unsafe { Inbox::free(self.inbox) };
        }
    }
}

impl<P: ReadWrite, T: Send + 'static> Drop for Lane<P, T> {
    fn drop(&mut self) {
        /// Drops the rest if a destructor panics.
        struct Rest<'l, P: ReadWrite, T: Send + 'static>(&'l mut Lane<P, T>);

        impl<P: ReadWrite, T: Send + 'static> Rest<'_, P, T> {
            fn empty(&mut self) {
                while let Some(slot) = self.0.aside.pop() {
                    self.0.slots.put(slot);
                    // SAFETY: the slot is this lane's, and holds a payload that `push` put there
                    // and its result. It was set aside, so neither was taken. `aside` doesn't have
                    // it any more, so it is discarded once.
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

        // In a child process the slots are the parent's. What they own is leaked here.
        if self.queue.shared().process.is_current() {
            // The waker is dropped last, because its destructor is foreign code.
            let _waker = self.inbox().take_waker();
            self.leave_inbox();
            Rest(self).empty();
        }
    }
}

/// Frees a slot that is claimed and empty.
fn give_back(queue: &Queue, slot: &Slot) {
    // SAFETY: the slot is the caller's, which has put nothing in it or has emptied it. No handle
    // has stored a waker. `queue` keeps the shared part.
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
